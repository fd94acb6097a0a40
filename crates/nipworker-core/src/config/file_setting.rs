//! A file that outlives the process, or none.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const OFF: &str = "off";

/// Where something is kept over a restart of the process. As text: `"off"`, or a path; a file of
/// that name is written `"./off"`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FileSetting {
    /// Nowhere.
    #[default]
    Off,
    /// In this file, beside which `….lock` and, for moments, `….new` lie.
    At(PathBuf),
}

impl Serialize for FileSetting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str(OFF),
            Self::At(path) => path.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FileSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = FileSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a file, or \"off\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FileSetting, E> {
                match text {
                    "" => Err(E::custom("an empty path; write \"off\" for no file")),
                    OFF => Ok(FileSetting::Off),
                    path => Ok(FileSetting::At(path.into())),
                }
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
