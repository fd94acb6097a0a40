//! What a relay says that it takes and gives (NIP-11, `limitation`).

use nipworker_protocol::Event;
use serde_json::Value;

/// The limits of one relay. What its document leaves out, or states as zero or nonsense, is `None`:
/// a limit that forbids everything is a mistake more often than a wish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RelayLimits {
    /// REQs open at once on one connection.
    pub max_subscriptions: Option<usize>,
    /// Bytes of one message to the relay.
    pub max_message_length: Option<usize>,
    /// Events that one filter gets, whatever its `limit`.
    pub max_limit: Option<usize>,
    /// Events that a filter without `limit` gets.
    pub default_limit: Option<usize>,
    /// Characters of a REQ's name.
    pub max_subid_length: Option<usize>,
    /// Whether nothing goes without authentication (NIP-42).
    pub auth_required: bool,
    /// Leading zero bits that an event's id must have (NIP-13).
    pub min_pow_difficulty: Option<u32>,
    /// Tags of an event.
    pub max_event_tags: Option<usize>,
    /// Characters of an event's content.
    pub max_content_length: Option<usize>,
    /// Seconds that an event may be older than now.
    pub created_at_lower_limit: Option<i64>,
    /// Seconds that an event may be from the future.
    pub created_at_upper_limit: Option<i64>,
}

impl RelayLimits {
    /// Reads an information document.
    ///
    /// # Errors
    /// When the text is not JSON, with the place.
    pub fn of(document: &str) -> Result<Self, serde_json::Error> {
        let document: Value = serde_json::from_str(document)?;
        let limits = &document["limitation"];
        let number = |name: &str| positive(&limits[name]);
        let size = |name: &str| number(name).map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        let seconds = |name: &str| number(name).map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        Ok(Self {
            max_subscriptions: size("max_subscriptions"),
            max_message_length: size("max_message_length"),
            max_limit: size("max_limit"),
            default_limit: size("default_limit"),
            max_subid_length: size("max_subid_length"),
            auth_required: limits["auth_required"] == Value::Bool(true),
            min_pow_difficulty: number("min_pow_difficulty")
                .map(|bits| u32::try_from(bits).unwrap_or(u32::MAX)),
            max_event_tags: size("max_event_tags"),
            max_content_length: size("max_content_length"),
            created_at_lower_limit: seconds("created_at_lower_limit"),
            created_at_upper_limit: seconds("created_at_upper_limit"),
        })
    }

    /// Which limit `event` breaks at `now` (unix seconds), for a person. Proof of work counts by the
    /// zero bits of the id alone.
    pub fn broken_by(&self, event: &Event, now: i64) -> Option<String> {
        let over = |name: &str, got: usize, most: Option<usize>| {
            let most = most.filter(|most| got > *most)?;
            Some(format!("{name} of this relay is {most}, the event has {got}"))
        };
        let age = now.saturating_sub(event.created_at);
        over("max_event_tags", event.tags.len(), self.max_event_tags)
            .or_else(|| {
                let characters = event.content.chars().count();
                over("max_content_length", characters, self.max_content_length)
            })
            .or_else(|| {
                let most = self.created_at_lower_limit.filter(|most| age > *most)?;
                let name = "created_at_lower_limit";
                Some(format!("{name} of this relay is {most} s, the event is {age} s old"))
            })
            .or_else(|| {
                let most = self.created_at_upper_limit.filter(|most| -age > *most)?;
                let name = "created_at_upper_limit";
                Some(format!("{name} of this relay is {most} s, the event is {} s ahead", -age))
            })
            .or_else(|| {
                let has = leading_zero_bits(event.id.as_bytes());
                let least = self.min_pow_difficulty.filter(|least| has < *least)?;
                let name = "min_pow_difficulty";
                Some(format!("{name} of this relay is {least} bits, the event has {has}"))
            })
    }
}

fn leading_zero_bits(id: &[u8]) -> u32 {
    let zeros = id.iter().take_while(|byte| **byte == 0).count();
    let rest = id.get(zeros).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(zeros).unwrap_or(u32::MAX).saturating_mul(8).saturating_add(rest)
}

/// Some write `20.0`, some `"20"`.
fn positive(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            (float >= 1.0).then_some(float as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::{PublicKey, Signature, Tag, UnsignedEvent};

    use super::*;

    #[test]
    fn limits_are_read_as_relays_write_them() {
        let limits = RelayLimits::of(
            r#"{"name":"x","limitation":{"max_subscriptions":20,"max_message_length":"65536",
            "max_limit":500.0,"default_limit":0,"max_subid_length":-3,"auth_required":true,
            "min_pow_difficulty":null,"max_event_tags":1e300,"created_at_upper_limit":900}}"#,
        );
        let expected = RelayLimits {
            max_subscriptions: Some(20),
            max_message_length: Some(65_536),
            max_limit: Some(500),
            auth_required: true,
            max_event_tags: Some(usize::MAX),
            created_at_upper_limit: Some(900),
            ..RelayLimits::default()
        };
        assert_eq!(limits.unwrap(), expected);
        for nothing in ["{}", "[]", "7", r#"{"limitation":[]}"#, r#"{"limitation":"none"}"#] {
            assert_eq!(RelayLimits::of(nothing).unwrap(), RelayLimits::default(), "{nothing}");
        }
        assert!(RelayLimits::of("<html>").is_err());
    }

    #[test]
    fn an_event_that_breaks_a_limit_is_told_which() {
        let tags = vec![Tag(vec!["t".to_owned(), "a".to_owned()]); 3];
        let event = UnsignedEvent::new(PublicKey::from_bytes([1; 32]), 1_000, 1, tags, "häh")
            .with_signature(Signature::from_bytes([0; 64]));
        let broken = |change: fn(&mut RelayLimits), now| {
            let mut limits = RelayLimits::default();
            change(&mut limits);
            limits.broken_by(&event, now).unwrap_or_default()
        };
        assert_eq!(broken(|_| {}, 1_000), "");
        assert!(broken(|l| l.max_event_tags = Some(2), 1_000).contains("is 2, the event has 3"));
        assert_eq!(broken(|l| l.max_content_length = Some(3), 1_000), "");
        assert!(broken(|l| l.max_content_length = Some(2), 1_000).contains("max_content_length"));
        assert_eq!(broken(|l| l.created_at_lower_limit = Some(10), 1_010), "");
        assert!(broken(|l| l.created_at_lower_limit = Some(10), 1_011).contains("11 s old"));
        assert!(broken(|l| l.created_at_upper_limit = Some(10), 989).contains("11 s ahead"));
        assert!(broken(|l| l.min_pow_difficulty = Some(200), 1_000).contains("200 bits"));
    }
}
