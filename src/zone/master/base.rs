//! Base 16, base 32 hex and base 64, a token at a time.

static NIBBLE: [u8; 256] = {
    let mut table = [255u8; 256];
    let mut at = 0;
    while at < 10 {
        table[b'0' as usize + at] = at as u8;
        at += 1;
    }
    at = 0;
    while at < 6 {
        table[b'a' as usize + at] = at as u8 + 10;
        table[b'A' as usize + at] = at as u8 + 10;
        at += 1;
    }
    table
};

/// The value of a hex digit; above 15 when it is none.
#[inline]
pub(super) fn nibble(byte: u8) -> u8 {
    NIBBLE[usize::from(byte)]
}

const ALPHABET64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const ALPHABET32: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

static SEXTET: [u8; 256] = {
    let mut table = [255u8; 256];
    let mut at = 0;
    while at < 64 {
        table[ALPHABET64[at] as usize] = at as u8;
        at += 1;
    }
    table
};

/// Gathers digits of `bits` bits each, over any number of tokens, into bytes.
pub(super) struct Decoder {
    bits: u32,
    kept: u32,
    width: u32,
    digits: u64,
    padding: u64,
}

impl Decoder {
    pub(super) fn hex() -> Self {
        Self { bits: 0, kept: 0, width: 4, digits: 0, padding: 0 }
    }

    pub(super) fn base32() -> Self {
        Self { bits: 0, kept: 0, width: 5, digits: 0, padding: 0 }
    }

    pub(super) fn base64() -> Self {
        Self { bits: 0, kept: 0, width: 6, digits: 0, padding: 0 }
    }

    /// Adds a token; the error is the offset of the byte that is no digit.
    pub(super) fn push(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), usize> {
        for (at, &byte) in raw.iter().enumerate() {
            if byte == b'=' && self.width != 4 {
                self.padding += 1;
                continue;
            }
            let digit = match self.width {
                4 => nibble(byte),
                5 => match byte.to_ascii_uppercase() {
                    digit @ b'0'..=b'9' => digit - b'0',
                    letter @ b'A'..=b'V' => letter - b'A' + 10,
                    _ => 255,
                },
                _ => SEXTET[usize::from(byte)],
            };
            if digit == 255 || self.padding > 0 {
                return Err(at);
            }
            self.digits += 1;
            self.kept = self.kept << self.width | u32::from(digit);
            self.bits += self.width;
            if self.bits >= 8 {
                self.bits -= 8;
                out.push((self.kept >> self.bits) as u8);
                self.kept &= (1 << self.bits) - 1;
            }
        }
        Ok(())
    }

    /// Whether the digits make whole bytes; base 64 must be padded, base 32 need not be.
    pub(super) fn is_whole(&self) -> bool {
        // The bits that fill up the last digit must be zero (RFC 4648 section 3.5).
        if self.kept != 0 {
            return false;
        }
        match self.width {
            4 => self.digits.is_multiple_of(2),
            5 => {
                let fits = matches!(self.digits % 8, 0 | 2 | 4 | 5 | 7);
                fits && (self.padding == 0 || (self.digits + self.padding).is_multiple_of(8))
            }
            _ => {
                let fits = match self.digits % 4 {
                    0 => self.padding == 0,
                    2 => self.padding == 2,
                    3 => self.padding == 1,
                    _ => false,
                };
                fits && self.digits > 0
            }
        }
    }
}

pub(super) fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(char::from(b"0123456789ABCDEF"[usize::from(nibble)]));
        }
    }
}

pub(super) fn base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0u32, |word, (at, &byte)| word | u32::from(byte) << (16 - 8 * at));
        for at in 0..4 {
            let digit = ALPHABET64[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
}

/// Base 32 with the extended hex alphabet, without padding (RFC 5155 section 3.3).
pub(super) fn base32(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(5) {
        let word = chunk
            .iter()
            .enumerate()
            .fold(0u64, |word, (at, &byte)| word | u64::from(byte) << (32 - 8 * at));
        for at in 0..(chunk.len() * 8).div_ceil(5) {
            out.push(char::from(ALPHABET32[(word >> (35 - 5 * at) & 31) as usize]));
        }
    }
}
