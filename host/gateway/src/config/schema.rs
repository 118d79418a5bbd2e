//! The two macros in which every setting is defined once. From a definition come the struct, its
//! reader, the names that a typing mistake is compared with, and the documentation.

use std::ops::RangeInclusive;

use super::setting::Kind;

/// A setting, as the documentation and the sources outside of the file see it.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    pub(super) kind: Kind,
    /// The value when nothing is written; `None` where something must be.
    pub(super) default: Option<serde_json::Value>,
    pub(super) bounds: Option<RangeInclusive<i64>>,
}

/// Defines a section: `name: type = default, within low..=high;`. Without a default a setting
/// must be written, unless its type has an empty value (lists, tables, options).
macro_rules! settings {
    (
        $(#[doc = $section_doc:literal])+
        $(#[derive($($derive:ident),+)])?
        $vis:vis struct $section:ident {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty $(= $default:expr)? $(, within $bounds:expr)?;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Debug, Clone $($(, $derive)+)?)]
        $vis struct $section {
            $($(#[doc = $doc])+ $vis $name: $type,)+
        }

        impl $crate::config::setting::Setting for $section {
            fn kind() -> $crate::config::setting::Kind {
                $crate::config::setting::Kind::Section(vec![$(
                    $crate::config::schema::Field {
                        name: stringify!($name),
                        doc: concat!($($doc, "\n"),+),
                        kind: <$type as $crate::config::setting::Setting>::kind(),
                        default: $crate::config::schema::default_of!($type $(, $default)?)
                            .map(|default: fn() -> $type| default())
                            .or_else(<$type as $crate::config::setting::Setting>::empty)
                            .map(|value| $crate::config::setting::Setting::json(&value)),
                        bounds: $crate::config::schema::bounds_of!($($bounds)?),
                    },
                )+])
            }

            fn read(
                node: &$crate::config::node::Node,
                report: &mut $crate::config::report::Report<'_>,
            ) -> Option<Self> {
                let $crate::config::node::Value::Table(table) = &node.value else {
                    return $crate::config::setting::wrong_kind::<Self, Self>(node, report);
                };
                let known = [$(stringify!($name)),+];
                $crate::config::setting::refuse_unknown(table, &node.path, &known, report);
                let place = (table, &node.origin, node.path.as_str());
                $(
                    let $name = $crate::config::setting::field::<$type>(
                        place,
                        stringify!($name),
                        $crate::config::schema::default_of!($type $(, $default)?),
                        $crate::config::schema::bounds_of!($($bounds)?),
                        report,
                    );
                )+
                Some(Self { $($name: $name?),+ })
            }

            fn absent(
                table_origin: &$crate::config::report::Origin,
                path: &str,
                report: &mut $crate::config::report::Report<'_>,
            ) -> Option<Self> {
                let nothing = $crate::config::node::Value::Table(Default::default());
                let node =
                    $crate::config::node::Node::new(table_origin.clone(), path, nothing);
                Self::read(&node, report)
            }

            fn json(&self) -> serde_json::Value {
                let mut object = serde_json::Map::new();
                $(
                    object.insert(
                        stringify!($name).to_owned(),
                        $crate::config::setting::Setting::json(&self.$name),
                    );
                )+
                object.into()
            }
        }
    };
}

macro_rules! default_of {
    ($type:ty) => {
        None::<fn() -> $type>
    };
    ($type:ty, $default:expr) => {
        Some((|| $default) as fn() -> $type)
    };
}

macro_rules! bounds_of {
    () => {
        None
    };
    ($bounds:expr) => {
        Some($bounds)
    };
}

/// Defines a setting that is one of a few words: `Variant = "word",`.
macro_rules! words {
    (
        $(#[doc = $enum_doc:literal])+
        pub enum $enum:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $enum_doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $enum {
            /// The word in the settings.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $crate::config::setting::Setting for $enum {
            fn kind() -> $crate::config::setting::Kind {
                $crate::config::setting::Kind::Words(&[$($word),+])
            }

            fn read(
                node: &$crate::config::node::Node,
                report: &mut $crate::config::report::Report<'_>,
            ) -> Option<Self> {
                $crate::config::setting::text(node, report, |text| match text {
                    $($word => Ok(Self::$variant),)+
                    other => {
                        let hint = $crate::config::report::suggestion(other, [$($word),+]);
                        let phrase = Self::kind().phrase();
                        Err(format!("must be {phrase}, not \"{other}\"{hint}"))
                    }
                })
            }

            fn json(&self) -> serde_json::Value {
                self.as_str().into()
            }
        }
    };
}

pub(super) use {bounds_of, default_of, settings, words};
