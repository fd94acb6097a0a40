//! One function for each kind of event.

use nipworker_protocol::{Event, Tag, UnsignedEvent};

use super::{Corpus, Note, RECENT_NOTES, text};

/// Bytes of a note: quantiles of real ones.
const NOTE_BYTES: &[(u64, u64)] =
    &[(0, 4), (250, 61), (500, 111), (750, 187), (900, 335), (990, 1_200), (1_000, 2_800)];
/// Bytes of a direct message's ciphertext.
const MESSAGE_BYTES: &[(u64, u64)] = &[(0, 24), (500, 92), (900, 156), (1_000, 1_756)];
/// Bytes of a long-form text.
const ARTICLE_BYTES: &[(u64, u64)] = &[(0, 800), (500, 4_500), (900, 14_000), (1_000, 40_000)];
/// People on a contact list; a few lists are large.
const CONTACTS: &[(u64, u64)] =
    &[(0, 1), (250, 20), (500, 60), (750, 150), (900, 300), (990, 1_000), (1_000, 3_000)];

impl Corpus {
    pub(super) fn text_note(&mut self, by: usize) -> Event {
        let bytes = self.random.quantile(NOTE_BYTES);
        let mut content = self.writer.prose(&mut self.random, bytes);
        let mut tags = Vec::new();
        let answered = if self.random.chance(550) { self.note() } else { None };
        let root = answered.as_ref().map(|note| self.answer(note, &mut tags));
        if self.random.chance(120) {
            let named = self.famous();
            let pubkey = self.authors.public_key(named);
            content.push(' ');
            content.push_str(&text::mention(&pubkey));
            tags.push(Tag::new(["p", &pubkey.to_hex()]));
        }
        if self.random.chance(150) {
            for _ in 0..=self.random.below(3) {
                let hashtag = self.writer.hashtag(&mut self.random);
                content.push_str(" #");
                content.push_str(&hashtag);
                tags.push(Tag::new(["t".to_owned(), hashtag]));
            }
        }
        if self.random.chance(150) {
            content.push('\n');
            content.push_str(&text::image(&mut self.random));
        }
        if self.random.chance(5) {
            // Far away, so that no store's clock finds it over.
            tags.push(Tag::new(["expiration", "4000000000"]));
        }
        if self.random.chance(250) {
            tags.push(Tag::new(["client", self.writer.word(&mut self.random)]));
        }
        let event = self.event(by, 1, tags, content);
        if self.notes.len() == RECENT_NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(Note { id: event.id, by, root, json: event.to_json() });
        event
    }

    /// Marked `e` tags and `p` tags of an answer to `note` (NIP-10); gives the thread's root.
    fn answer(&mut self, note: &Note, tags: &mut Vec<Tag>) -> (nipworker_protocol::EventId, usize) {
        let root = note.root.unwrap_or((note.id, note.by));
        let author = self.authors.public_key(note.by).to_hex();
        let begun_by = self.authors.public_key(root.1).to_hex();
        let relay = text::relay(&mut self.random);
        tags.push(Tag::new(["e", &root.0.to_hex(), &relay, "root", &begun_by]));
        if root.0 != note.id {
            tags.push(Tag::new(["e", &note.id.to_hex(), &relay, "reply", &author]));
        }
        if begun_by != author {
            tags.push(Tag::new(["p", &begun_by]));
        }
        tags.push(Tag::new(["p", &author]));
        root
    }

    /// `e` and `p` tags that name one note.
    fn naming(&mut self, note: &Note) -> Vec<Tag> {
        let author = self.authors.public_key(note.by).to_hex();
        vec![Tag::new(["e", &note.id.to_hex()]), Tag::new(["p", &author])]
    }

    pub(super) fn reaction(&mut self, by: usize) -> Event {
        let Some(note) = self.note() else { return self.text_note(by) };
        let mut tags = self.naming(&note);
        if self.random.chance(300) {
            tags.push(Tag::new(["k", "1"]));
        }
        let content = self.writer.reaction(&mut self.random).to_owned();
        self.event(by, 7, tags, content)
    }

    pub(super) fn repost(&mut self, by: usize) -> Event {
        let Some(note) = self.note() else { return self.text_note(by) };
        let tags = self.naming(&note);
        let content = if self.random.chance(700) { note.json } else { String::new() };
        self.event(by, 6, tags, content)
    }

    /// A receipt of a wallet for a zap by `by` (NIP-57), the request inside.
    pub(super) fn zap_receipt(&mut self, by: usize) -> Event {
        let Some(note) = self.note() else { return self.text_note(by) };
        let sats = [21, 21, 100, 210, 500, 1_000, 2_100, 5_000, 21_000][self.random.index(9)];
        let mut tags = self.naming(&note);
        let mut asked = tags.clone();
        asked.push(Tag::new(["amount".to_owned(), (sats * 1_000).to_string()]));
        let mut relays = vec!["relays".to_owned()];
        for _ in 0..=self.random.below(5) {
            relays.push(text::relay(&mut self.random));
        }
        asked.push(Tag(relays));
        let comment = if self.random.chance(200) { self.random.below(60) } else { 0 };
        let comment = self.writer.prose(&mut self.random, comment);
        let sender = self.authors.public_key(by);
        let time = self.time();
        let request =
            self.authors.sign(by, UnsignedEvent::new(sender, time, 9_734, asked, comment));
        tags.push(Tag::new(["P", &sender.to_hex()]));
        tags.push(Tag::new(["bolt11".to_owned(), text::invoice(&mut self.random, sats)]));
        tags.push(Tag::new(["description".to_owned(), request.to_json()]));
        let preimage = hex::encode(self.random.bytes::<32>());
        tags.push(Tag::new(["preimage".to_owned(), preimage]));
        let wallet = self.wallet();
        self.event(wallet, 9_735, tags, String::new())
    }

    pub(super) fn profile(&mut self, by: usize) -> Event {
        let name = format!("{}{}", self.writer.word(&mut self.random), self.random.below(1_000));
        let about_bytes = self.random.below(300);
        let about = self.writer.prose(&mut self.random, about_bytes);
        // By hand: the order of a JSON map's keys is a matter of serde_json's features.
        let content = [
            ("name", name.clone()),
            ("about", about),
            ("picture", text::image(&mut self.random)),
            ("banner", text::image(&mut self.random)),
            ("nip05", format!("{name}@names.example.com")),
            ("lud16", format!("{name}@wallet{}.example.com", self.random.below(12))),
        ]
        .map(|(key, value)| format!("\"{key}\":{}", serde_json::Value::from(value)))
        .join(",");
        self.event(by, 0, Vec::new(), format!("{{{content}}}"))
    }

    pub(super) fn contact_list(&mut self, by: usize) -> Event {
        let count = self.random.quantile(CONTACTS);
        let tags = (0..count)
            .map(|_| {
                let followed = self.famous();
                let pubkey = self.authors.public_key(followed).to_hex();
                if self.random.chance(150) {
                    Tag::new(["p".to_owned(), pubkey, text::relay(&mut self.random)])
                } else {
                    Tag::new(["p".to_owned(), pubkey])
                }
            })
            .collect();
        self.event(by, 3, tags, String::new())
    }

    pub(super) fn relay_list(&mut self, by: usize) -> Event {
        let tags = (0..=self.random.below(10))
            .map(|_| {
                let relay = text::relay(&mut self.random);
                match self.random.below(4) {
                    0 => Tag::new(["r", &relay, "read"]),
                    1 => Tag::new(["r", &relay, "write"]),
                    _ => Tag::new(["r", &relay]),
                }
            })
            .collect();
        self.event(by, 10_002, tags, String::new())
    }

    pub(super) fn long_form(&mut self, by: usize) -> Event {
        let title = self.writer.prose(&mut self.random, 40);
        let mut tags = vec![
            // Few identifiers, so that texts are also revised.
            Tag::new(["d".to_owned(), format!("text-{}", self.random.below(8))]),
            Tag::new(["title".to_owned(), title]),
            Tag::new(["published_at".to_owned(), super::BEGIN.to_string()]),
            Tag::new(["image".to_owned(), text::image(&mut self.random)]),
        ];
        for _ in 0..self.random.below(5) {
            tags.push(Tag::new(["t".to_owned(), self.writer.hashtag(&mut self.random)]));
        }
        let bytes = self.random.quantile(ARTICLE_BYTES);
        let content = self.writer.prose(&mut self.random, bytes);
        self.event(by, 30_023, tags, content)
    }

    /// The author of a recent note takes it back.
    pub(super) fn deletion(&mut self, by: usize) -> Event {
        let Some(note) = self.note() else { return self.text_note(by) };
        let tags = vec![Tag::new(["e", &note.id.to_hex()]), Tag::new(["k", "1"])];
        self.event(note.by, 5, tags, String::new())
    }

    pub(super) fn direct_message(&mut self, by: usize) -> Event {
        let to = self.famous();
        let to = self.authors.public_key(to).to_hex();
        let bytes = self.random.quantile(MESSAGE_BYTES);
        let content = text::ciphertext(&mut self.random, bytes);
        self.event(by, 4, vec![Tag::new(["p", &to])], content)
    }
}
