//! The interface's own docs as Markdown, read with the library that every toolchain reads it with.

use wit_parser::{
    Docs, Function, InterfaceId, Resolve, Type, TypeDef, TypeDefKind, TypeOwner, WorldItem,
    WorldKey,
};

/// The newest release of the interface, and what the first one had.
pub(crate) struct Interface {
    resolve: Resolve,
    hooks: Vec<(String, InterfaceId)>,
    imports: Vec<(String, InterfaceId)>,
    /// `interface.function` of the first release.
    first: Vec<String>,
}

impl Interface {
    /// Reads two releases; panics at what is no WIT.
    pub(crate) fn of(newest: &str, first: &str) -> Self {
        let (first, _, _) = parsed(first);
        let (resolve, hooks, imports) = parsed(newest);
        let first = first.interfaces.iter().flat_map(|(_, one)| {
            let name = one.name.clone().unwrap_or_default();
            one.functions
                .keys()
                .map(move |function| format!("{name}.{function}"))
        });
        Self {
            first: first.collect(),
            resolve,
            hooks,
            imports,
        }
    }

    /// The names of all interfaces of the world.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.imports
            .iter()
            .chain(&self.hooks)
            .map(|(name, _)| name.as_str())
    }

    /// The names of the hooks' interfaces.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = &str> {
        self.hooks.iter().map(|(name, _)| name.as_str())
    }

    /// What an interface is, its functions, its types.
    pub(crate) fn describe(&self, name: &str) -> Result<String, String> {
        let mut all = self.hooks.iter().chain(&self.imports);
        let (_, id) = all
            .find(|(known, _)| known == name)
            .ok_or_else(|| format!("no interface is called {name}"))?;
        let interface = &self.resolve.interfaces[*id];
        let mut text = format!("{}\n", prose(&interface.docs));
        for (function, of) in &interface.functions {
            let since = if self.first.contains(&format!("{name}.{function}")) {
                ""
            } else {
                " *Only in 0.2.*"
            };
            let signature = self.signature(of);
            text += &format!(
                "\n- **`{function}: {signature}`**{since}\n  {}\n",
                prose(&of.docs)
            );
        }
        // Those that it takes from another interface are explained there.
        let own = interface.types.values().map(|id| &self.resolve.types[*id]);
        for ty in own.filter(|ty| !matches!(ty.kind, TypeDefKind::Type(_))) {
            assert!(ty.owner == TypeOwner::Interface(*id));
            text += &self.type_of(ty);
        }
        Ok(text)
    }

    /// A row for each hook: what it asks, and with which functions.
    pub(crate) fn table_of_hooks(&self) -> String {
        self.table("hook", &self.hooks)
    }

    /// A row for each import.
    pub(crate) fn table_of_imports(&self) -> String {
        let with_functions =
            |(_, id): &&(String, InterfaceId)| !self.resolve.interfaces[*id].functions.is_empty();
        let imports: Vec<_> = self
            .imports
            .iter()
            .filter(with_functions)
            .cloned()
            .collect();
        self.table("import", &imports)
    }

    fn table(&self, what: &str, of: &[(String, InterfaceId)]) -> String {
        let mut table = format!("| {what} | functions | what it is for |\n| --- | --- | --- |\n");
        for (name, id) in of {
            let interface = &self.resolve.interfaces[*id];
            let functions: Vec<String> = interface
                .functions
                .keys()
                .map(|name| format!("`{name}`"))
                .collect();
            let docs = prose(&interface.docs);
            let first = docs.split_inclusive(['.', '?']).next().unwrap_or_default();
            table += &format!(
                "| [`{name}`](#{name}) | {} | {first} |\n",
                functions.join(", ")
            );
        }
        table
    }

    fn signature(&self, function: &Function) -> String {
        let params = function
            .params
            .iter()
            .map(|param| format!("{}: {}", param.name, self.spelt(&param.ty)));
        let params = params.collect::<Vec<_>>().join(", ");
        match &function.result {
            Some(result) => format!("func({params}) -> {}", self.spelt(result)),
            None => format!("func({params})"),
        }
    }

    fn type_of(&self, ty: &TypeDef) -> String {
        let name = ty.name.as_deref().unwrap_or_default();
        let (kind, rows): (&str, Vec<(String, &Docs)>) = match &ty.kind {
            TypeDefKind::Record(record) => {
                let row = |field: &wit_parser::Field| {
                    format!("{}: {}", field.name, self.spelt(&field.ty))
                };
                (
                    "record",
                    record
                        .fields
                        .iter()
                        .map(|field| (row(field), &field.docs))
                        .collect(),
                )
            }
            TypeDefKind::Variant(variant) => {
                let row = |case: &wit_parser::Case| match &case.ty {
                    Some(ty) => format!("{}({})", case.name, self.spelt(ty)),
                    None => case.name.clone(),
                };
                (
                    "variant",
                    variant
                        .cases
                        .iter()
                        .map(|case| (row(case), &case.docs))
                        .collect(),
                )
            }
            TypeDefKind::Enum(cases) => (
                "enum",
                cases
                    .cases
                    .iter()
                    .map(|case| (case.name.clone(), &case.docs))
                    .collect(),
            ),
            other => panic!("the interface is kept plain, without {}", other.as_str()),
        };
        let mut text = format!(
            "\n{kind} **`{name}`**: {}\n\n| | |\n| --- | --- |\n",
            prose(&ty.docs)
        );
        for (row, docs) in rows {
            text += &format!("| `{row}` | {} |\n", prose(docs).replace('|', "\\|"));
        }
        text
    }

    /// A type as WIT writes it; types with a name by their names.
    fn spelt(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else {
            return format!("{ty:?}").to_lowercase();
        };
        let ty = &self.resolve.types[*id];
        if let Some(name) = &ty.name {
            return name.clone();
        }
        let some = |ty: &Option<Type>| ty.as_ref().map_or("_".to_owned(), |ty| self.spelt(ty));
        match &ty.kind {
            TypeDefKind::List(of) => format!("list<{}>", self.spelt(of)),
            TypeDefKind::Option(of) => format!("option<{}>", self.spelt(of)),
            TypeDefKind::Result(of) => format!("result<{}, {}>", some(&of.ok), some(&of.err)),
            TypeDefKind::Tuple(of) => {
                let types: Vec<String> = of.types.iter().map(|ty| self.spelt(ty)).collect();
                format!("tuple<{}>", types.join(", "))
            }
            other => panic!("the interface is kept plain, without {}", other.as_str()),
        }
    }
}

/// The interfaces that a world exports, and those that it imports, in its order.
type Parsed = (
    Resolve,
    Vec<(String, InterfaceId)>,
    Vec<(String, InterfaceId)>,
);

fn parsed(text: &str) -> Parsed {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", text).expect("WIT");
    let world = resolve.packages[package].worlds["policy"];
    let named = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| {
        let interfaces = items.filter_map(|(_, item)| match item {
            WorldItem::Interface { id, .. } => Some((
                resolve.interfaces[*id].name.clone().unwrap_or_default(),
                *id,
            )),
            _ => None,
        });
        interfaces.collect::<Vec<_>>()
    };
    let hooks = named(&mut resolve.worlds[world].exports.iter());
    let imports = named(&mut resolve.worlds[world].imports.iter());
    (resolve, hooks, imports)
}

/// A doc comment as one paragraph, without the rulers between the parts of the file.
fn prose(docs: &Docs) -> String {
    let text = docs.contents.as_deref();
    let text = text.expect("everything in wit/ has a doc comment");
    let lines = text.lines().filter(|line| !line.starts_with("----"));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.join(" ")
}

#[test]
fn docs_and_types_are_told_as_they_are_written() {
    let newest = "
        package weir:policy@0.2.0;
        // ------------------------ hooks
        /// May they?
        /// Perhaps.
        interface access {
          /// A word.
          enum word {
            /// The first.
            a,
          }
          /// Asks.
          ask: func(one: word, more: list<tuple<string, u8>>) -> result<_, option<bool>>;
        }
        world policy { export access; }
    ";
    let first = "package weir:policy@0.1.0; interface access {} world policy { export access; }";
    let interface = Interface::of(newest, first);
    let expected = "\
May they? Perhaps.

- **`ask: func(one: word, more: list<tuple<string, u8>>) -> result<_, option<bool>>`** *Only in 0.2.*
  Asks.

enum **`word`**: A word.

| | |
| --- | --- |
| `a` | The first. |
";
    assert_eq!(interface.describe("access").unwrap(), expected);
    assert!(
        interface
            .table_of_hooks()
            .ends_with("| [`access`](#access) | `ask` | May they? |\n")
    );
    assert!(interface.describe("other").is_err());
}
