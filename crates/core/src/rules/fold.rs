//! One case for all text: simple case folding, character by character, as Unicode's `CaseFolding.txt` (C and S).
//!
//! This is the same notion of "same letter" that the regex engine has, so a `contains` rule and the equal pattern
//! agree on every message, `ß`, `ſ` and the Kelvin sign included. A unit test checks it against the engine's tables.

/// The letter that stands for `c` and all its case variants.
pub(super) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        // Upper-casing would make an `I` of it, which Unicode folds only in Turkish.
        'ı' => 'ı',
        // Pairs without a one-character upper case through which they could meet.
        '\u{fb05}' => '\u{fb06}',
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        // Through upper case first: `ς` and `σ`, `ſ` and `s`, `µ` and `μ` meet there.
        _ => match only(c.to_uppercase()) {
            Some(upper) => only(upper.to_lowercase()).unwrap_or(upper),
            None => only(c.to_lowercase()).unwrap_or(c),
        },
    }
}

fn only(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    if chars.next().is_some() { None } else { first }
}

/// Appends the folded text; its length in bytes can differ from that of `text`.
pub(super) fn fold_into(text: &str, out: &mut String) {
    if text.is_ascii() {
        let from = out.len();
        out.push_str(text);
        if let Some(added) = out.get_mut(from..) {
            added.make_ascii_lowercase();
        }
    } else {
        out.extend(text.chars().map(fold_char));
    }
}

pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    fold_into(text, &mut out);
    out
}

/// Where folded `needle` first lies in `text`, as a byte range of `text`.
pub(super) fn find_folded(text: &str, needle: &str) -> Option<std::ops::Range<usize>> {
    let folded = fold(text);
    let start = folded.find(needle)?;
    let end = start + needle.len();
    // Back from folded to original bytes; lengths differ only where a letter's variants differ in length.
    let (mut at, mut from, mut to) = (0, text.len(), text.len());
    for (index, c) in text.char_indices() {
        if at == start {
            from = index;
        }
        if at == end {
            to = index;
            break;
        }
        at += fold_char(c).len_utf8();
    }
    Some(from..to)
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

    use super::*;

    #[test]
    fn letters_that_the_regex_engine_takes_for_one_fold_to_one() {
        // Cased scripts end below U+1F000; the rest of the planes has nothing to fold.
        for c in (0..0x1_f000).filter_map(char::from_u32) {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            class.try_case_fold_simple().unwrap();
            for variant in class.ranges().iter().flat_map(|range| range.start()..=range.end()) {
                assert_eq!(fold_char(variant), fold_char(c), "{c:?} and {variant:?}");
            }
        }
    }

    #[test]
    fn a_letter_folds_to_one_of_its_own_variants() {
        for c in (0..0x1_f000).filter_map(char::from_u32).filter(|&c| fold_char(c) != c) {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
            class.try_case_fold_simple().unwrap();
            let folded = fold_char(c);
            let known = class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&folded));
            // Letters that the standard library knows and the engine's older Unicode does not may fold further.
            assert!(known || class.ranges().len() == 1, "{c:?} became {folded:?}");
        }
    }

    #[test]
    fn a_found_range_is_that_of_the_original_text() {
        let text = "aK\u{212a}ſ STRAẞE b";
        let range = find_folded(text, &fold("kks straße")).unwrap();
        assert_eq!(text.get(range), Some("K\u{212a}ſ STRAẞE"));
        let end = find_folded("xx Down", "down").unwrap();
        assert_eq!(end, 3..7);
        assert_eq!(find_folded("up", "down"), None);
    }
}
