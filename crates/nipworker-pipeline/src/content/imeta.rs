//! What an author says about a file that a link leads to (NIP-92, NIP-94).

use nipworker_protocol::{PublicKey, Tag};

use crate::kinds::tags::{sha256, whole_number};

/// Where a person is in a picture (NIP-68).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Annotation {
    /// Who it is said to be.
    pub pubkey: PublicKey,
    /// Pixels from the left.
    pub x: u32,
    /// Pixels from the top.
    pub y: u32,
}

/// One `imeta` tag. Nothing in it was checked against the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Imeta<'a> {
    /// Where the file is.
    pub url: &'a str,
    /// Its MIME type, `image/jpeg` and the like.
    pub mime: Option<&'a str>,
    /// Width and height in pixels.
    pub pixels: Option<(u32, u32)>,
    /// What it shows, in words.
    pub alt: Option<&'a str>,
    /// A blurred preview.
    pub blurhash: Option<&'a str>,
    /// SHA-256 of the file.
    #[serde(serialize_with = "crate::kinds::json::hex_if_any")]
    pub sha256: Option<[u8; 32]>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// Playing time in milliseconds.
    pub duration_ms: Option<u64>,
    /// Mean bits per second.
    pub bitrate_bps: Option<u64>,
    /// Preview pictures.
    pub previews: Vec<&'a str>,
    /// Other places of the same file.
    pub fallbacks: Vec<&'a str>,
    /// People in the picture.
    pub annotations: Vec<Annotation>,
    /// The service that keeps the file.
    pub service: Option<&'a str>,
}

impl<'a> Imeta<'a> {
    /// Reads an `imeta` tag; `None` when it is another tag or names no file. A part that is not
    /// of the form it should have is passed over.
    pub fn of(tag: &'a Tag) -> Option<Self> {
        if tag.name() != "imeta" {
            return None;
        }
        let mut imeta = Self::default();
        for part in tag.0.iter().skip(1) {
            let Some((name, value)) = part.split_once(' ') else { continue };
            imeta.take(name, value.trim());
        }
        if imeta.url.is_empty() { None } else { Some(imeta) }
    }

    /// All files that the tags describe.
    pub fn all(tags: &'a [Tag]) -> Vec<Self> {
        tags.iter().filter_map(Self::of).collect()
    }

    fn take(&mut self, name: &str, value: &'a str) {
        match name {
            "url" => self.url = value,
            "m" => self.mime = Some(value),
            "dim" => self.pixels = pixels(value),
            "alt" => self.alt = Some(value),
            "blurhash" => self.blurhash = Some(value),
            "x" => self.sha256 = sha256(value),
            "size" => self.size_bytes = whole_number(value),
            "duration" => self.duration_ms = milliseconds(value),
            "bitrate" => self.bitrate_bps = whole_number(value),
            "image" | "thumb" => self.previews.push(value),
            "fallback" => self.fallbacks.push(value),
            "annotate-user" => self.annotations.extend(annotation(value)),
            "service" => self.service = Some(value),
            _ => {}
        }
    }
}

fn pixels(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

fn annotation(text: &str) -> Option<Annotation> {
    let mut parts = text.splitn(3, ':');
    Some(Annotation {
        pubkey: PublicKey::from_hex(parts.next()?).ok()?,
        x: parts.next()?.parse().ok()?,
        y: parts.next()?.parse().ok()?,
    })
}

/// Seconds with up to three decimals that count, in milliseconds.
pub(crate) fn milliseconds(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let thousandths = decimals.bytes().chain(*b"000").take(3);
    let thousandths = thousandths.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole_number(seconds)?.checked_mul(1_000)?.checked_add(thousandths)
}
