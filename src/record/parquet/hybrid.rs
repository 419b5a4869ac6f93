//! Small numbers as Parquet packs them: runs of one number, and groups of eight in as few bits as the largest needs.

use super::file::Damage;

/// Zeros that must follow the bytes, so that whole words can be read at their end.
pub const PADDING: usize = 8;

const MALFORMED: Damage = Damage::Form("a page is damaged");

/// Where a reading of packed numbers stands. The bytes themselves are given to it each time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hybrid {
    /// The offset of what has not been read yet.
    at: usize,
    end: usize,
    width: usize,
    run: Run,
}

#[derive(Debug, Clone, Copy)]
enum Run {
    Repeated { value: u32, left: usize },
    Packed { bit: usize, left: usize },
}

impl Default for Run {
    fn default() -> Self {
        Self::Repeated { value: 0, left: 0 }
    }
}

impl Hybrid {
    /// Numbers of `width` bits in the bytes from `start` to `end`.
    pub fn new(start: usize, end: usize, width: u8) -> Result<Self, Damage> {
        if width > 32 || start > end {
            return Err(MALFORMED);
        }
        Ok(Self { at: start, end, width: width.into(), run: Run::default() })
    }

    /// Reads as many numbers as `out` has room for.
    pub fn read(&mut self, bytes: &[u8], mut out: &mut [u32]) -> Result<(), Damage> {
        while !out.is_empty() {
            let (now, later) = match &mut self.run {
                Run::Repeated { left: 0, .. } | Run::Packed { left: 0, .. } => {
                    self.run = self.next_run(bytes)?;
                    continue;
                }
                Run::Repeated { value, left } => {
                    let count = out.len().min(*left);
                    let (now, later) = out.split_at_mut(count);
                    now.fill(*value);
                    *left -= count;
                    (now, later)
                }
                Run::Packed { bit, left } => {
                    let count = out.len().min(*left);
                    let (now, later) = out.split_at_mut(count);
                    unpack(bytes, *bit, self.width, now)?;
                    *bit += count * self.width;
                    *left -= count;
                    (now, later)
                }
            };
            debug_assert!(!now.is_empty());
            out = later;
        }
        Ok(())
    }

    fn byte(&mut self, bytes: &[u8]) -> Result<u8, Damage> {
        let byte = bytes.get(..self.end).and_then(|bytes| bytes.get(self.at)).ok_or(MALFORMED)?;
        self.at += 1;
        Ok(*byte)
    }

    fn next_run(&mut self, bytes: &[u8]) -> Result<Run, Damage> {
        let mut head = 0_usize;
        for shift in (0..32).step_by(7) {
            let byte = self.byte(bytes)?;
            head |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let count = head >> 1;
        if count == 0 {
            return Err(MALFORMED);
        }
        if head & 1 == 0 {
            let mut value = 0_u32;
            for place in 0..self.width.div_ceil(8) {
                value |= u32::from(self.byte(bytes)?) << (8 * place);
            }
            return Ok(Run::Repeated { value, left: count });
        }
        let bit = self.at * 8;
        self.at += count * self.width;
        if self.at > self.end {
            return Err(MALFORMED);
        }
        Ok(Run::Packed { bit, left: count * 8 })
    }
}

/// Reads numbers of `width` bits, the lowest first, from `bit` on.
fn unpack(bytes: &[u8], mut bit: usize, width: usize, out: &mut [u32]) -> Result<(), Damage> {
    let mask = (1_u64 << width) - 1;
    for slot in out {
        let word = bytes.get(bit / 8..).and_then(|bytes| bytes.first_chunk::<8>()).ok_or(MALFORMED)?;
        let number = (u64::from_le_bytes(*word) >> (bit % 8)) & mask;
        #[expect(clippy::cast_possible_truncation, reason = "no more than 32 bits are left")]
        {
            *slot = number as u32;
        }
        bit += width;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn padded(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().copied().chain([0; PADDING]).collect()
    }

    #[test]
    fn runs_and_groups() {
        // Five times 7, then 0 to 7 in three bits each: the example of the specification.
        let bytes = [10, 7, 0x03, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let mut hybrid = Hybrid::new(0, bytes.len(), 3).unwrap();
        let mut out = [0; 13];
        let bytes = padded(&bytes);
        let (first, rest) = out.split_at_mut(6);
        hybrid.read(&bytes, first).unwrap();
        hybrid.read(&bytes, rest).unwrap();
        assert_eq!(out, [7, 7, 7, 7, 7, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(hybrid.read(&bytes, &mut [0]).is_err(), "there are no more");
    }

    #[test]
    fn the_widest_and_the_narrowest() {
        let wide: Vec<u8> = [3].into_iter().chain([0xfe, 0xff, 0xff, 0xff].repeat(8)).collect();
        let mut out = [0; 8];
        Hybrid::new(0, wide.len(), 32).unwrap().read(&padded(&wide), &mut out).unwrap();
        assert_eq!(out, [u32::MAX - 1; 8]);
        Hybrid::new(0, 1, 0).unwrap().read(&padded(&[16]), &mut out).unwrap();
        assert_eq!(out, [0; 8]);
        assert!(Hybrid::new(0, 1, 33).is_err());
    }

    proptest! {
        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..60), width in 0_u8..=32, count in 0_usize..500) {
            let mut hybrid = Hybrid::new(0, bytes.len(), width).unwrap();
            let _ = hybrid.read(&padded(&bytes), &mut vec![0; count]);
        }
    }
}
