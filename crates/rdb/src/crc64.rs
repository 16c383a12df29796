//! The checksum of payloads and files: CRC-64 with Jones' polynomial, reflected, from 0, without a final exclusive or.

/// x^64 + … with its bits in reverse order.
const POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// `TABLES[k][b]`: the checksum of byte `b` with `k` zero bytes behind it; so eight bytes are folded in at once.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[k - 1][byte];
            tables[k][byte] = shorter >> 8 ^ tables[0][(shorter & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

/// A checksum of bytes that come one piece after the other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Crc64(u64);

impl Crc64 {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = update(self.0, bytes);
    }

    /// The checksum of all that was added.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// The checksum of `bytes`.
pub fn checksum(bytes: &[u8]) -> u64 {
    update(0, bytes)
}

fn update(mut crc: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = mixed.iter().zip(TABLES.iter().rev()).fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)]);
    }
    for byte in rest {
        crc = crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_comes_out() {
        assert_eq!(checksum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 59) as u8).collect();
        for cut in 0..bytes.len() {
            let mut crc = Crc64::default();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), checksum(&bytes), "{cut}");
        }
    }

    #[test]
    fn eight_bytes_at_once_give_what_single_bytes_give() {
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * 37) as u8).collect();
        for len in 0..bytes.len() {
            let slow = bytes[..len].iter().fold(0u64, |crc, b| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ b)]);
            assert_eq!(checksum(&bytes[..len]), slow, "{len}");
        }
    }
}
