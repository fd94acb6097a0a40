//! The page that a browser gets on `/`.

use crate::config::GatewayConfig;

/// A short page without scripts.
pub(crate) fn html(config: &GatewayConfig) -> String {
    let name = escape(&config.name);
    let description = escape(&config.description);
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title></head>\n\
         <body>\n<h1>{name}</h1>\n<p>{description}</p>\n\
         <p>This address is a Nostr relay: add it to a Nostr client with <code>ws://</code> in \
         place of <code>http://</code>.</p>\n\
         <ul>\n<li><a href=\"/api/v1/status\">Status</a></li>\n\
         <li><a href=\"/metrics\">Metrics</a></li>\n\
         <li><a href=\"/readyz\">Readiness</a></li>\n</ul>\n\
         <p>nipworker {version}</p>\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_name_cannot_break_out_of_the_page() {
        let config =
            GatewayConfig { name: "<script>x</script>".to_owned(), ..GatewayConfig::default() };
        assert!(!html(&config).contains("<script>"));
        assert!(html(&config).contains("&lt;script&gt;"));
    }
}
