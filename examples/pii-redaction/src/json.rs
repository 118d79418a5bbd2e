//! Changes texts within JSON and leaves every other byte where it is.
//!
//! Never does: build a tree, know a dialect. What a text is about is told by the name of the member that
//! holds it.

use std::borrow::Cow;
use std::ops::Range;

/// The deepest nesting that is read, as of the gateway itself.
const DEPTH_MAX: usize = 128;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot<'j> {
    /// The name of the member that holds it, of the nearest object around it; empty at the top.
    pub name: &'j str,
    /// True within data of the caller's own making: the arguments or the result of a tool. There names of
    /// members mean nothing.
    pub free: bool,
    /// True where it is a number. What takes its place becomes a text.
    pub number: bool,
}

/// This is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson;

/// The JSON with other texts: `visit` says what takes a text's place. None where nothing changed.
pub fn rewrite(
    json: &str,
    free: bool,
    visit: &mut dyn FnMut(Spot<'_>, &str) -> Option<String>,
) -> Result<Option<String>, NotJson> {
    let mut walk = Walk {
        json,
        at: 0,
        edits: Vec::new(),
        visit,
    };
    walk.value("", free, 0)?;
    walk.space();
    if walk.at != json.len() {
        return Err(NotJson);
    }
    if walk.edits.is_empty() {
        return Ok(None);
    }
    let (mut out, mut from) = (String::with_capacity(json.len() + 64), 0);
    for (range, text) in &walk.edits {
        out.push_str(json.get(from..range.start).unwrap_or_default());
        out.push_str(text);
        from = range.end;
    }
    out.push_str(json.get(from..).unwrap_or_default());
    Ok(Some(out))
}

struct Walk<'j, 'v> {
    json: &'j str,
    at: usize,
    /// What takes the place of which bytes.
    edits: Vec<(Range<usize>, String)>,
    visit: &'v mut dyn FnMut(Spot<'_>, &str) -> Option<String>,
}

/// Objects of tools: what Anthropic calls their input, and Gemini their arguments and response.
fn opens_free(name: &str, byte: u8) -> bool {
    byte == b'{' && matches!(name, "input" | "args" | "response")
}

impl<'j> Walk<'j, '_> {
    fn byte(&self) -> Result<u8, NotJson> {
        self.json.as_bytes().get(self.at).copied().ok_or(NotJson)
    }

    fn space(&mut self) {
        while matches!(self.byte(), Ok(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        self.space();
        if self.byte()? != byte {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, name: &'j str, free: bool, depth: usize) -> Result<(), NotJson> {
        if depth > DEPTH_MAX {
            return Err(NotJson);
        }
        self.space();
        let byte = self.byte()?;
        let free = free || opens_free(name, byte);
        match byte {
            b'{' => self.object(free, depth),
            b'[' => self.list(name, free, depth),
            b'"' => {
                let begin = self.at;
                let raw = self.text()?;
                let text = decoded(raw)?;
                let spot = Spot {
                    name,
                    free,
                    number: false,
                };
                if let Some(instead) = (self.visit)(spot, &text) {
                    self.edit(begin, &instead)?;
                }
                Ok(())
            }
            b'-' | b'0'..=b'9' => {
                let begin = self.at;
                let number = self.word()?;
                let is_one = number
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
                if !is_one || number.parse::<f64>().is_err() {
                    return Err(NotJson);
                }
                let spot = Spot {
                    name,
                    free,
                    number: true,
                };
                if let Some(instead) = (self.visit)(spot, number) {
                    self.edit(begin, &instead)?;
                }
                Ok(())
            }
            _ => match self.word()? {
                "true" | "false" | "null" => Ok(()),
                _ => Err(NotJson),
            },
        }
    }

    fn object(&mut self, free: bool, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        self.space();
        if self.byte()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.space();
            if self.byte()? != b'"' {
                return Err(NotJson);
            }
            // No name that means anything is written with escapes.
            let name = self.text()?;
            self.expect(b':')?;
            self.value(name, free, depth + 1)?;
            if self.goes_on(b'}')? {
                return Ok(());
            }
        }
    }

    fn list(&mut self, name: &'j str, free: bool, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        self.space();
        if self.byte()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(name, free, depth + 1)?;
            if self.goes_on(b']')? {
                return Ok(());
            }
        }
    }

    /// Takes a comma, or the end of what is read: then true.
    fn goes_on(&mut self, end: u8) -> Result<bool, NotJson> {
        self.space();
        let byte = self.byte()?;
        self.at += 1;
        match byte {
            b',' => Ok(false),
            byte if byte == end => Ok(true),
            _ => Err(NotJson),
        }
    }

    /// What stands between the quotes, as it is written.
    fn text(&mut self) -> Result<&'j str, NotJson> {
        let begin = self.at + 1;
        self.at = begin;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.at += 2,
                0..0x20 => return Err(NotJson),
                _ => self.at += 1,
            }
        }
        let raw = self.json.get(begin..self.at).ok_or(NotJson)?;
        self.at += 1;
        Ok(raw)
    }

    /// A number, or one of the three words.
    fn word(&mut self) -> Result<&'j str, NotJson> {
        let begin = self.at;
        while self
            .byte()
            .is_ok_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        {
            self.at += 1;
        }
        self.json
            .get(begin..self.at)
            .filter(|word| !word.is_empty())
            .ok_or(NotJson)
    }

    fn edit(&mut self, begin: usize, text: &str) -> Result<(), NotJson> {
        let text = serde_json::to_string(text).map_err(|_| NotJson)?;
        self.edits.push((begin..self.at, text));
        Ok(())
    }
}

/// A text without its escapes. Half of a pair of surrogates, which JSON may hold and a text of Rust may
/// not, becomes the sign for what cannot be shown.
fn decoded(raw: &str) -> Result<Cow<'_, str>, NotJson> {
    if !raw.contains('\\') {
        return Ok(raw.into());
    }
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((plain, escape)) = rest.split_once('\\') {
        units.extend(plain.encode_utf16());
        let mut characters = escape.chars();
        let unit = match characters.next().ok_or(NotJson)? {
            'n' => u16::from(b'\n'),
            't' => u16::from(b'\t'),
            'r' => u16::from(b'\r'),
            'b' => 8,
            'f' => 12,
            same @ ('"' | '\\' | '/') => u16::try_from(u32::from(same)).map_err(|_| NotJson)?,
            'u' => {
                let digits = escape.get(1..5).ok_or(NotJson)?;
                characters = escape.get(5..).unwrap_or_default().chars();
                u16::from_str_radix(digits, 16).map_err(|_| NotJson)?
            }
            _ => return Err(NotJson),
        };
        units.push(unit);
        rest = characters.as_str();
    }
    units.extend(rest.encode_utf16());
    Ok(String::from_utf16_lossy(&units).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shouted(json: &str) -> Result<Option<String>, NotJson> {
        rewrite(json, false, &mut |spot, text| {
            (spot.name != "role" && text.contains('a')).then(|| text.to_uppercase())
        })
    }

    #[test]
    fn only_the_texts_change() {
        let json = "{ \"role\":\"assistant\",\"n\" : 1.50e3, \"l\":[ \"a\\n\\\"b\", {\"x\":null}, true ],\"a\":\"b\"}";
        let wanted = "{ \"role\":\"assistant\",\"n\" : 1.50e3, \"l\":[ \"A\\n\\\"B\", {\"x\":null}, true ],\"a\":\"b\"}";
        assert_eq!(shouted(json), Ok(Some(wanted.to_owned())));
        assert_eq!(shouted("{\"b\": [\"b\", {}, []]}"), Ok(None));
    }

    #[test]
    fn what_is_no_json_is_told() {
        for text in [
            "",
            "{",
            "{\"a\"}",
            "[1,]x",
            "\"a",
            "nul",
            "{\"a\":1,}",
            "[1 2]",
            "\"\\x\"",
            "{\"a\":}",
            "--x",
            "-inf",
            "1.2.3",
        ] {
            assert_eq!(shouted(text), Err(NotJson), "{text}");
        }
        assert_eq!(shouted(&"[".repeat(1000)), Err(NotJson));
        assert_eq!(
            shouted(r#""\ud83d\ude00 \ud800 \u0061\/\\""#),
            Ok(Some("\"😀 \u{fffd} A/\\\\\"".to_owned()))
        );
    }

    #[test]
    fn the_data_of_tools_is_known() {
        let mut seen = Vec::new();
        let json = r#"{"input":{"id":"1","n":5},"args":{"id":["2"]},"b":[{"input":"3","id":"4"}]}"#;
        let result = rewrite(json, false, &mut |spot, text| {
            seen.push((text.to_owned(), spot.free));
            None
        });
        assert_eq!(result, Ok(None));
        let wanted = [
            ("1", true),
            ("5", true),
            ("2", true),
            ("3", false),
            ("4", false),
        ];
        assert_eq!(seen, wanted.map(|(text, free)| (text.to_owned(), free)));
    }
}
