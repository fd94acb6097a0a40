//! Links, and what they lead to.

use super::Imeta;

/// What a link leads to, by what the author says of it or else by the end of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A page, or nobody knows.
    Page,
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Sound.
    Audio,
    /// A relay (`ws://`, `wss://`).
    Relay,
}

impl LinkKind {
    /// Whether it is shown rather than followed.
    pub fn is_media(self) -> bool {
        matches!(self, Self::Image | Self::Video | Self::Audio)
    }

    /// By the URL alone.
    pub fn of_url(url: &str) -> Self {
        const ENDINGS: [(&str, LinkKind); 22] = [
            ("jpg", LinkKind::Image),
            ("jpeg", LinkKind::Image),
            ("png", LinkKind::Image),
            ("gif", LinkKind::Image),
            ("webp", LinkKind::Image),
            ("avif", LinkKind::Image),
            ("heic", LinkKind::Image),
            ("svg", LinkKind::Image),
            ("bmp", LinkKind::Image),
            ("mp4", LinkKind::Video),
            ("webm", LinkKind::Video),
            ("mov", LinkKind::Video),
            ("m4v", LinkKind::Video),
            ("mkv", LinkKind::Video),
            ("avi", LinkKind::Video),
            ("m3u8", LinkKind::Video),
            ("mp3", LinkKind::Audio),
            ("ogg", LinkKind::Audio),
            ("wav", LinkKind::Audio),
            ("flac", LinkKind::Audio),
            ("m4a", LinkKind::Audio),
            ("opus", LinkKind::Audio),
        ];
        if url.as_bytes().first().is_some_and(|c| c.eq_ignore_ascii_case(&b'w')) {
            return Self::Relay;
        }
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let after_host = path.splitn(4, '/').nth(3).unwrap_or_default();
        let Some((_, ending)) = after_host.rsplit_once('.') else { return Self::Page };
        ENDINGS
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(ending))
            .map_or(Self::Page, |(_, kind)| *kind)
    }

    fn of_mime(mime: &str) -> Option<Self> {
        match mime.split('/').next()? {
            "image" => Some(Self::Image),
            "video" => Some(Self::Video),
            "audio" => Some(Self::Audio),
            _ => None,
        }
    }
}

/// A link in a text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Link<'a> {
    /// As it stands in the text, without the punctuation after it.
    pub url: &'a str,
    /// What it leads to.
    pub kind: LinkKind,
    /// What the author says about the file.
    pub imeta: Option<Box<Imeta<'a>>>,
}

impl<'a> Link<'a> {
    pub(super) fn new(url: &'a str, imeta: Option<&Imeta<'a>>) -> Self {
        let kind = imeta.and_then(|imeta| imeta.mime).and_then(LinkKind::of_mime);
        Self {
            url,
            kind: kind.unwrap_or_else(|| LinkKind::of_url(url)),
            imeta: imeta.cloned().map(Box::new),
        }
    }
}

/// The link that `text` begins with: up to white space, a quote or a bracket that it did not
/// open, without the punctuation that ends the sentence.
pub(super) fn at_start(text: &str) -> Option<&str> {
    const SCHEMES: [&str; 4] = ["https://", "http://", "wss://", "ws://"];
    let scheme = SCHEMES.iter().find(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let host = text[scheme.len()..].chars().next()?;
    // Decided before the end is looked for: else a text of schemes only is read again and again.
    if !(host.is_alphanumeric() || host == '[') {
        return None;
    }
    let end = text.find(ends_a_link).unwrap_or(text.len());
    Some(without_punctuation(&text[..end]))
}

fn ends_a_link(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '<' | '>' | '"' | '`' | '，' | '。' | '！' | '？' | '、' | '」' | '』' | '）'
        )
}

fn without_punctuation(link: &str) -> &str {
    let count = |wanted: u8| link.bytes().filter(|c| *c == wanted).count();
    let mut unopened = [(b')', b'('), (b']', b'['), (b'}', b'{')]
        .map(|(close, open)| (close, count(close).saturating_sub(count(open))));
    let mut end = link.len();
    while let Some(last) = end.checked_sub(1).map(|last| link.as_bytes()[last]) {
        let closing = unopened.iter_mut().find(|(close, extra)| *close == last && *extra > 0);
        match closing {
            Some((_, extra)) => *extra -= 1,
            None if b".,;:!?'*".contains(&last) => {}
            None => break,
        }
        end -= 1;
    }
    &link[..end]
}
