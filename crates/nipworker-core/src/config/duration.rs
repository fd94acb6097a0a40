//! Durations as text with a unit: `"250ms"`, `"30s"`, `"5m"`. For `#[serde(with = …)]`.

use std::time::Duration;

use serde::{Deserializer, Serializer, de};

/// The longest there is: a leap year. No timer could hold every duration.
pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Writes a duration with its unit.
///
/// # Errors
/// Those of the serialiser.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration; only text with a unit will do, and at most a year.
///
/// # Errors
/// Says what a duration looks like.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Duration;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a duration as text with a unit, such as \"250ms\", \"30s\" or \"5m\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text).map_err(|error| {
                E::custom(format_args!(
                    "{text:?} is no duration ({error}); write it with a unit, such as \"250ms\", \
                     \"30s\" or \"5m\""
                ))
            })
        }
    }
    deserializer.deserialize_any(Visitor).and_then(|duration| {
        if duration > LONGEST {
            return Err(de::Error::custom("a duration of more than a year"));
        }
        Ok(duration)
    })
}

/// Reads a duration of the command line, where a bare number is seconds.
///
/// # Errors
/// Says what a duration looks like.
pub fn parse(text: &str) -> Result<Duration, String> {
    let with_unit;
    let text = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        with_unit = format!("{text}s");
        &with_unit
    } else {
        text
    };
    deserialize(de::value::StrDeserializer::<de::value::Error>::new(text))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit_or_is_in_seconds_on_the_command_line() {
        assert_eq!(parse("30"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(parse("").is_err());
        assert!(parse("ten").is_err_and(|why| why.contains("with a unit")));
        assert!(parse("99999999999").is_err_and(|why| why.contains("more than a year")));
        assert!(parse("9999 years").is_err_and(|why| why.contains("more than a year")));
    }

    #[test]
    fn duration_text_is_deserialised_only_from_text() {
        let deserializer = de::value::I64Deserializer::<de::value::Error>::new(30);
        assert!(deserialize(deserializer).is_err());
    }
}
