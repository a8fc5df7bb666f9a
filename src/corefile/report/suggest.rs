//! The nearest valid word.

use strsim::osa_distance;

/// The candidate that is closest to `word`, if any is close enough to be meant: up to a third of
/// its length in edits, two swapped letters counting as one.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words than any keyword are not worth the time.
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (osa_distance(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len().max(3) / 3).min(4))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["prefetch", "success", "denial", "serve_stale"];
        assert_eq!(nearest("prefech", words), Some("prefetch"));
        assert_eq!(nearest("sucecss", words), Some("success"));
        assert_eq!(nearest("DENIAL", words), Some("denial"));
        assert_eq!(nearest("xyz", words), None);
        assert_eq!(nearest("forwrad", ["file", "forward"]), Some("forward"));
    }
}
