//! The relay information document (NIP-11). It states limits that are enforced and nothing else.

use nipworker_protocol::EventLimits;
use serde_json::{Value, json};

use super::ws::CREATED_AT_UPPER_LIMIT_SECONDS;
use crate::config::GatewayConfig;

/// What the relay face really does: basics (1), deletion (9), this document (11), expiration
/// (40), counting (45), protected events (70). Reconciling (77) comes to it where it is offered.
pub(crate) const SUPPORTED_NIPS: [u16; 6] = [1, 9, 11, 40, 45, 70];

/// Reconciling by negentropy.
const RECONCILING: u16 = 77;

/// The media type that asks for the document.
pub(crate) const MEDIA_TYPE: &str = "application/nostr+json";

/// The document.
pub(crate) fn document(config: &GatewayConfig, events: &EventLimits) -> Value {
    let limits = &config.websocket;
    let mut nips = SUPPORTED_NIPS.to_vec();
    nips.extend((limits.max_reconciliations > 0).then_some(RECONCILING));
    let mut document = json!({
        "name": config.name,
        "description": config.description,
        "software": env!("CARGO_PKG_REPOSITORY"),
        "version": env!("CARGO_PKG_VERSION"),
        "supported_nips": nips,
        "limitation": {
            "max_message_length": limits.max_message_bytes,
            "max_subscriptions": limits.max_subscriptions,
            "max_filters": limits.max_filters,
            "max_limit": limits.max_limit,
            "default_limit": limits.max_limit,
            "max_subid_length": limits.max_subscription_id_chars,
            "max_event_tags": events.max_tags,
            // An event's whole text is bounded in bytes, so no content has more characters.
            "max_content_length": events.max_event_bytes,
            "created_at_upper_limit": CREATED_AT_UPPER_LIMIT_SECONDS,
            "auth_required": false,
            "payment_required": false,
            "restricted_writes": false,
        },
    });
    if !config.contact.is_empty() {
        document["contact"] = config.contact.clone().into();
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_advertised_limit_is_the_configured_one() {
        let mut config = GatewayConfig::default();
        config.websocket.max_message_bytes = 2_000;
        config.websocket.max_subscriptions = 3;
        config.websocket.max_subscription_id_chars = 9;
        config.websocket.max_filters = 4;
        config.websocket.max_limit = 5;
        let events = EventLimits { max_tags: 7, max_event_bytes: 1_000, ..EventLimits::default() };
        let limitation = &document(&config, &events)["limitation"];
        assert_eq!(
            *limitation,
            json!({
                "max_message_length": 2_000, "max_subscriptions": 3, "max_filters": 4,
                "max_limit": 5, "default_limit": 5, "max_subid_length": 9, "max_event_tags": 7,
                "max_content_length": 1_000, "created_at_upper_limit": 86_400,
                "auth_required": false, "payment_required": false, "restricted_writes": false,
            })
        );
    }

    #[test]
    fn a_contact_is_named_only_when_there_is_one() {
        let mut config = GatewayConfig::default();
        assert!(document(&config, &EventLimits::default()).get("contact").is_none());
        config.contact = "mailto:someone@example.com".to_owned();
        assert_eq!(document(&config, &EventLimits::default())["contact"], config.contact);
    }
}
