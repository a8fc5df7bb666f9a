//! Byte strings in chunks: a string costs two octets more than it has, and no allocation of its own.
//!
//! Strings are written one after the other. One that goes leaves a hole. A chunk of which more than half
//! is holes is emptied: what lives in it is copied behind the newest string, and its memory is freed. So
//! the holes are at most as large as the strings, and each octet is copied once for each octet that went.

/// Where a string is: the number of its chunk in the upper half, its offset in the lower.
pub(crate) type Place = u32;

/// Octets of a chunk.
const CHUNK: usize = 64 << 10;
/// Longer strings get a chunk of their own.
const LONGEST: usize = 24 << 10;
/// Octets before a string: its length, or [`WHOLE`], and whether it is gone.
pub(crate) const HEAD: usize = 2;
const GONE: u16 = 0x8000;
/// The string fills its chunk.
const WHOLE: u16 = 0x7FFF;

/// The most octets that the strings of an arena may have: with that, the number of a chunk has 16 bits.
pub(crate) const MAX_BYTES: usize = 1 << 30;

#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// Octets of the strings that are not gone, with their heads.
    live: usize,
}

/// Strings by place.
#[derive(Default)]
pub(crate) struct Arena {
    chunks: Vec<Chunk>,
    /// The chunk that is being written.
    current: Option<usize>,
    /// Numbers of chunks without memory.
    free: Vec<u16>,
    /// Chunks that may be mostly holes.
    sparse: Vec<u16>,
    live: usize,
    held: usize,
}

impl Arena {
    /// Adds a string that is given in parts.
    pub(crate) fn put(&mut self, parts: &[&[u8]]) -> Place {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let number = self.chunk_for(len);
        let chunk = &mut self.chunks[number];
        let (offset, capacity) = (chunk.bytes.len(), chunk.bytes.capacity());
        let head = if len > LONGEST { WHOLE } else { len as u16 };
        chunk.bytes.extend_from_slice(&head.to_le_bytes());
        parts.iter().for_each(|part| chunk.bytes.extend_from_slice(part));
        chunk.live += HEAD + len;
        self.live += HEAD + len;
        self.held += chunk.bytes.capacity() - capacity;
        (number as u32) << 16 | offset as u32
    }

    /// The number of a chunk with room for a string of this length.
    fn chunk_for(&mut self, len: usize) -> usize {
        if len > LONGEST {
            return self.add_chunk(HEAD + len);
        }
        if let Some(number) = self.current {
            if self.chunks[number].bytes.len() + HEAD + len <= CHUNK {
                return number;
            }
            self.current = None;
            self.note_holes(number);
        }
        // A small arena takes what it needs.
        let number = self.add_chunk(if self.held == 0 { 0 } else { CHUNK });
        self.current = Some(number);
        number
    }

    fn add_chunk(&mut self, capacity: usize) -> usize {
        let bytes = Vec::with_capacity(capacity);
        self.held += bytes.capacity();
        let chunk = Chunk { bytes, live: 0 };
        match self.free.pop() {
            Some(number) => {
                self.chunks[usize::from(number)] = chunk;
                usize::from(number)
            }
            None => {
                self.chunks.push(chunk);
                self.chunks.len() - 1
            }
        }
    }

    /// The string at a place.
    #[inline]
    pub(crate) fn get(&self, place: Place) -> &[u8] {
        let (chunk, offset) = (&self.chunks[(place >> 16) as usize], (place & 0xFFFF) as usize);
        &chunk.bytes[offset + HEAD..end(&chunk.bytes, offset)]
    }

    /// The string at a place, to be changed.
    pub(crate) fn get_mut(&mut self, place: Place) -> &mut [u8] {
        let (chunk, offset) = (&mut self.chunks[(place >> 16) as usize], (place & 0xFFFF) as usize);
        let end = end(&chunk.bytes, offset);
        &mut chunk.bytes[offset + HEAD..end]
    }

    /// Removes a string.
    pub(crate) fn remove(&mut self, place: Place) {
        let (number, offset) = ((place >> 16) as usize, (place & 0xFFFF) as usize);
        let chunk = &mut self.chunks[number];
        let size = end(&chunk.bytes, offset) - offset;
        chunk.bytes[offset + 1] |= (GONE >> 8) as u8;
        chunk.live -= size;
        self.live -= size;
        if chunk.live == 0 && self.current != Some(number) {
            self.drop_chunk(number);
        } else {
            self.note_holes(number);
        }
    }

    fn drop_chunk(&mut self, number: usize) -> Chunk {
        let chunk = std::mem::take(&mut self.chunks[number]);
        self.held -= chunk.bytes.capacity();
        self.free.push(number as u16);
        chunk
    }

    fn note_holes(&mut self, number: usize) {
        let chunk = &self.chunks[number];
        if self.current != Some(number)
            && chunk.live * 2 < chunk.bytes.len()
            && !self.sparse.contains(&(number as u16))
        {
            self.sparse.push(number as u16);
        }
    }

    /// Empties the chunks that are mostly holes. `moved` gets each string that moves, the place where it
    /// was and the place where it is.
    pub(crate) fn tidy(&mut self, mut moved: impl FnMut(&[u8], Place, Place)) {
        while let Some(number) = self.sparse.pop() {
            let number = usize::from(number);
            let chunk = &self.chunks[number];
            if chunk.bytes.is_empty() || self.current == Some(number) {
                continue;
            }
            self.live -= chunk.live;
            let old = self.drop_chunk(number);
            for (offset, bytes) in strings(&old.bytes) {
                let to = self.put(&[bytes]);
                moved(bytes, (number as u32) << 16 | offset as u32, to);
            }
        }
    }

    /// All strings, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &[u8])> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let place = move |offset: usize| (number as u32) << 16 | offset as u32;
            strings(&chunk.bytes).map(move |(offset, bytes)| (place(offset), bytes))
        })
    }

    /// Octets of the strings, with two more for each.
    pub(crate) fn live(&self) -> usize {
        self.live
    }

    /// Octets of memory.
    pub(crate) fn memory(&self) -> usize {
        self.held + self.chunks.capacity() * size_of::<Chunk>()
    }
}

fn head(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

/// Where the string at an offset ends.
fn end(bytes: &[u8], offset: usize) -> usize {
    match head(bytes, offset) & !GONE {
        WHOLE => bytes.len(),
        len => offset + HEAD + usize::from(len),
    }
}

/// The strings of a chunk that are not gone, and their offsets.
fn strings(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let (offset, end) = (at, end(bytes, at));
            at = end;
            if head(bytes, offset) & GONE == 0 {
                return Some((offset, &bytes[offset + HEAD..end]));
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn text(seed: u32, len: usize) -> Vec<u8> {
        (0..len).map(|at| (seed as usize * 31 + at) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn strings_stay_what_they_were(
            steps in prop::collection::vec((0u32..40, 0usize..4_000, any::<bool>()), 1..400),
        ) {
            let mut arena = Arena::default();
            let mut places: HashMap<u32, (Place, Vec<u8>)> = HashMap::new();
            for (number, (key, len, long)) in steps.into_iter().enumerate() {
                if let Some((place, _)) = places.remove(&key) {
                    arena.remove(place);
                }
                if number % 3 != 0 {
                    let len = if long { len * 10 } else { len };
                    let bytes = text(key + number as u32, len);
                    let (left, right) = bytes.split_at(len / 2);
                    places.insert(key, (arena.put(&[left, right]), bytes));
                }
                arena.tidy(|bytes, from, to| {
                    let found = places.values_mut().find(|(place, _)| *place == from).unwrap();
                    assert_eq!(bytes, found.1);
                    found.0 = to;
                });
                let live: usize = places.values().map(|(_, bytes)| bytes.len() + HEAD).sum();
                prop_assert_eq!(arena.live(), live);
                // Every chunk but the current one is at least half full.
                prop_assert!(arena.held <= live * 2 + 3 * CHUNK);
                prop_assert_eq!(arena.iter().count(), places.len());
                for (place, bytes) in places.values() {
                    prop_assert_eq!(arena.get(*place), bytes.as_slice());
                    prop_assert!(arena.iter().any(|(at, found)| at == *place && found == bytes));
                }
            }
        }
    }
}
