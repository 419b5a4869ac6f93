//! Parquet's encoding of small numbers: runs of one number, and groups of eight packed into as few bits as the largest
//! needs.

use crate::record::parquet::format::damage::Damage;

/// How many zero bytes must follow the encoded ones, so that whole words can be read at the end.
pub(crate) const PADDING: usize = 8;

const MALFORMED: Damage = Damage::Form("a page is damaged");

/// Decodes numbers. The bytes are passed to each call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RleReader {
    /// The offset of the first byte that has not been read.
    at: usize,
    end: usize,
    width: usize,
    run: RleRun,
}

#[derive(Debug, Clone, Copy)]
enum RleRun {
    Repeated { value: u32, left: usize },
    Packed { bit: usize, left: usize },
}

impl Default for RleRun {
    fn default() -> Self {
        Self::Repeated { value: 0, left: 0 }
    }
}

impl RleReader {
    /// Decodes numbers of `width` bits from the bytes from `start` to before `end`.
    pub(crate) fn new(start: usize, end: usize, width: u8) -> Result<Self, Damage> {
        if width > 32 || start > end {
            return Err(MALFORMED);
        }
        Ok(Self { at: start, end, width: width.into(), run: RleRun::default() })
    }

    /// Decodes as many numbers as `out` has room for.
    pub(crate) fn read(&mut self, bytes: &[u8], mut out: &mut [u32]) -> Result<(), Damage> {
        while !out.is_empty() {
            let (now, later) = match &mut self.run {
                RleRun::Repeated { left: 0, .. } | RleRun::Packed { left: 0, .. } => {
                    self.run = self.next_run(bytes)?;
                    continue;
                }
                RleRun::Repeated { value, left } => {
                    let count = out.len().min(*left);
                    let (now, later) = out.split_at_mut(count);
                    now.fill(*value);
                    *left -= count;
                    (now, later)
                }
                RleRun::Packed { bit, left } => {
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

    fn next_run(&mut self, bytes: &[u8]) -> Result<RleRun, Damage> {
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
            return Ok(RleRun::Repeated { value, left: count });
        }
        let bit = self.at * 8;
        self.at += count * self.width;
        if self.at > self.end {
            return Err(MALFORMED);
        }
        Ok(RleRun::Packed { bit, left: count * 8 })
    }
}

/// Unpacks numbers of `width` bits, lowest bit first, from the offset `bit` on.
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

/// The most numbers of a packed run, so that one byte holds its length.
const PACKED: usize = 63 * 8;

/// Encodes `numbers` in `width` bits each.
pub(crate) fn write(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    let mut left = numbers;
    // How many numbers to pack, a multiple of eight, before a run that is long enough to be repeated.
    let mut packed = 0;
    while let Some((to_pack, ahead)) = left.split_at_checked(packed) {
        let run = ahead.first().map_or(0, |first| ahead.iter().take_while(|number| *number == first).count());
        if run < 8 && !ahead.is_empty() {
            packed = left.len().min(packed + 8);
            continue;
        }
        pack(to_pack, width, out);
        let Some(first) = ahead.first() else { return };
        write_run(*first, run, width, out);
        left = ahead.get(run..).unwrap_or_default();
        packed = 0;
        if left.is_empty() {
            return;
        }
    }
}

/// Encodes a run of `count` times `number`.
pub(crate) fn write_run(number: u32, count: usize, width: u8, out: &mut Vec<u8>) {
    write_varint((count as u64) << 1, out);
    let bytes = number.to_le_bytes();
    out.extend_from_slice(bytes.get(..usize::from(width).div_ceil(8)).unwrap_or(&bytes));
}

fn pack(numbers: &[u32], width: u8, out: &mut Vec<u8>) {
    for numbers in numbers.chunks(PACKED) {
        write_varint((numbers.len().div_ceil(8) as u64) << 1 | 1, out);
        for group in numbers.chunks(8) {
            let mut eight = [0; 8];
            eight.iter_mut().zip(group).for_each(|(slot, number)| *slot = *number);
            if width <= 16 {
                write_bits(&eight, width, &mut 0, &mut 0, out);
            } else {
                let (mut word, mut bits) = (0, 0);
                eight.chunks(4).for_each(|four| write_bits(four, width, &mut word, &mut bits, out));
            }
        }
    }
}

/// Appends numbers, of 128 bits altogether at most, to the `bits` bits in `word`, and moves whole bytes to `out`.
fn write_bits(numbers: &[u32], width: u8, word: &mut u128, bits: &mut u32, out: &mut Vec<u8>) {
    for number in numbers {
        *word |= u128::from(*number) << *bits;
        *bits += u32::from(width);
    }
    let bytes = *bits / 8;
    out.extend(word.to_le_bytes().into_iter().take(bytes as usize));
    *word = word.checked_shr(bytes * 8).unwrap_or(0);
    *bits -= bytes * 8;
}

/// Writes a number in groups of seven bits, as many as it needs.
pub(crate) fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
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
        // The example of the specification: five times 7, then 0 to 7 in three bits each.
        let bytes = [10, 7, 0x03, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        let mut hybrid = RleReader::new(0, bytes.len(), 3).unwrap();
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
        RleReader::new(0, wide.len(), 32).unwrap().read(&padded(&wide), &mut out).unwrap();
        assert_eq!(out, [u32::MAX - 1; 8]);
        RleReader::new(0, 1, 0).unwrap().read(&padded(&[16]), &mut out).unwrap();
        assert_eq!(out, [0; 8]);
        assert!(RleReader::new(0, 1, 33).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            numbers in prop::collection::vec((any::<u32>(), prop_oneof![Just(1_usize), 1..30_usize, Just(3000)]), 0..200),
            width in 1_u8..=32,
        ) {
            let mask = u32::MAX >> (32 - width);
            let numbers: Vec<u32> = numbers.into_iter().flat_map(|(number, count)| vec![number & mask; count]).collect();
            let mut bytes = Vec::new();
            write(&numbers, width, &mut bytes);
            let mut hybrid = RleReader::new(0, bytes.len(), width).unwrap();
            let mut read = vec![0; numbers.len()];
            hybrid.read(&padded(&bytes), &mut read).unwrap();
            prop_assert_eq!(read, numbers);
        }

        #[test]
        fn anything_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..60), width in 0_u8..=32, count in 0_usize..500) {
            let mut hybrid = RleReader::new(0, bytes.len(), width).unwrap();
            let _ = hybrid.read(&padded(&bytes), &mut vec![0; count]);
        }
    }
}
