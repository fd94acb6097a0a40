//! Events that a command is given: as the argument itself, in a file, or on stdin.

use std::{
    fs::File,
    io::{self, Read},
};

use serde::de::IgnoredAny;

use super::output::Failure;
use crate::lines::{Line, numbered};

/// White space that may stand within an event beyond its limit in bytes.
const WHITE_SPACE_BYTES: usize = 1024;

/// Reads what `argument` names: itself when it begins with `{`, stdin for `-`, else a file. Of
/// more than `limit` bytes, one more than that is read, so that the excess can be seen.
pub(super) fn read(argument: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    if argument.trim_start().starts_with('{') {
        return Ok(argument.as_bytes().to_vec());
    }
    let mut input = Vec::new();
    if argument == "-" {
        let read = io::stdin().lock().take(limit + 1).read_to_end(&mut input);
        read.map_err(|error| Failure::because(format_args!("cannot read stdin: {error}")))?;
    } else {
        let read =
            File::open(argument).and_then(|file| file.take(limit + 1).read_to_end(&mut input));
        read.map_err(|error| {
            Failure::because(format_args!(
                "{argument}: cannot be read: {error} (an event as an argument begins with {{)"
            ))
        })?;
    }
    Ok(input)
}

/// Cuts a text into JSON values, each on one line or on several, with the number of the line on
/// which each begins. What is no JSON is cut at the end of its line.
pub(super) fn values(input: &[u8], max_bytes: usize) -> Vec<Line> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut number = 1;
    while at < input.len() {
        if input[at].is_ascii_whitespace() {
            number += u64::from(input[at] == b'\n');
            at += 1;
            continue;
        }
        let rest = &input[at..];
        let window = &rest[..rest.len().min(max_bytes + WHITE_SPACE_BYTES)];
        let mut values = serde_json::Deserializer::from_slice(window).into_iter::<IgnoredAny>();
        let (line, length) = match values.next() {
            Some(Ok(_)) => {
                let length = values.byte_offset();
                (Line::of(number, &rest[..length], max_bytes), length)
            }
            _ => {
                let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                let first = numbered(&rest[..length], max_bytes).next();
                (first.map(|line| Line { number, ..line }), length)
            }
        };
        found.extend(line);
        let value = &rest[..length];
        number += value.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        at += length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &str) -> Vec<(u64, String)> {
        values(input.as_bytes(), 1_000)
            .into_iter()
            .map(|line| (line.number, line.text.unwrap()))
            .collect()
    }

    #[test]
    fn values_on_one_line_or_on_several_are_numbered_by_their_first_line() {
        let wanted = [
            (1, "{\"a\":1}".to_owned()),
            (3, "{\n \"b\": [\n2]}".to_owned()),
            (5, "{}".to_owned()),
        ];
        assert_eq!(cut("{\"a\":1}\n\n{\n \"b\": [\n2]} {}\n"), wanted);
    }

    #[test]
    fn what_is_no_json_costs_only_its_line() {
        let wanted = [(1, "{\"a\":".to_owned()), (2, "nonsense".to_owned()), (3, "{}".to_owned())];
        assert_eq!(cut("{\"a\":\nnonsense\n{}"), wanted);
    }

    #[test]
    fn a_value_over_the_limit_is_told_with_its_size() {
        let long = format!("\"{}\"\n{{}}", "x".repeat(5_000));
        let lines = values(long.as_bytes(), 1_000);
        assert!(lines[0].text.as_ref().unwrap_err().contains("5002"), "{lines:?}");
        assert_eq!((lines[1].number, lines[1].text.as_deref()), (2, Ok("{}")));
    }
}
