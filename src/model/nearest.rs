//! Which of the words that are known was nearly said. Pure.

/// The nearest of `known`, if it is near.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(word, known);
    known.min_by_key(distance).filter(|known| distance(known) <= word.len() / 3)
}
