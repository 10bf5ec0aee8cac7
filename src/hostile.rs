//! Edits of stored bytes that a script asks for, for tests and fuzz targets: a script is any bytes, so that a fuzzer
//! or a seeded generator can write one.

/// Bytes of a script that make one edit: what, where (two), and two more that what it is gives a meaning.
const EDIT_BYTES: usize = 5;

/// Numbers that lengths, counts and offsets go wrong at.
const EXTREMES: [u64; 10] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, i64::MAX as u64, u64::MAX];

/// Changes bytes as the script says. Half of its edits go to `places`, where there are any: those that matter most.
pub(crate) fn edit(bytes: &mut Vec<u8>, script: &[u8], places: &[usize]) {
    for line in script.chunks_exact(EDIT_BYTES) {
        let &[what, low, high, first, second] = line else { continue };
        let place = usize::from(u16::from_le_bytes([low, high]));
        let at = match places.get(place % places.len().max(1)) {
            Some(&named) if what & 0x80 != 0 => named,
            _ => place * (bytes.len() / (1 << 16)).max(1) + usize::from(second) % (1 + bytes.len() / (1 << 16)),
        };
        if bytes.is_empty() {
            return;
        }
        let (at, end) = (at % bytes.len(), bytes.len());
        let width = |width: usize| at..(at + width).min(end);
        match what & 0x7f {
            0..32 => bytes[at] = first,
            32..48 => bytes[at] ^= 1 << (first % 8),
            48..64 => bytes[at] = bytes[at].wrapping_add(first),
            64..80 => write(&mut bytes[width(4)], EXTREMES[usize::from(first) % EXTREMES.len()]),
            80..96 => write(&mut bytes[width(8)], EXTREMES[usize::from(first) % EXTREMES.len()]),
            96..104 => write(&mut bytes[width(2)], u64::from(u16::from_le_bytes([first, second]))),
            104..112 => write(&mut bytes[width(8)], u64::from(first) * 64),
            112..120 => {
                let from = usize::from(first) * 256 + usize::from(second);
                let copied: Vec<u8> = bytes.iter().skip(from % bytes.len()).take(16).copied().collect();
                let target = width(copied.len());
                let len = target.len();
                bytes[target].copy_from_slice(&copied[..len]);
            }
            120..124 => bytes.truncate(at),
            _ => bytes.extend(std::iter::repeat_n(first, usize::from(second) + 1)),
        }
    }
}

/// The low bytes of a number, as many as there is room for.
fn write(out: &mut [u8], number: u64) {
    let len = out.len();
    out.copy_from_slice(&number.to_le_bytes()[..len]);
}

/// Scripts of a seeded test: as many as `UNDERSTORY_HOSTILE` says, else `default`.
#[cfg(test)]
pub(crate) fn scripts(seed: u64, default: usize) -> impl Iterator<Item = Vec<u8>> {
    use rand::{Rng, RngExt, SeedableRng};

    let asked = std::env::var("UNDERSTORY_HOSTILE").ok();
    let count = asked.map_or(default, |text| text.parse().expect("UNDERSTORY_HOSTILE is a number"));
    let mut generator = rand::rngs::Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(move |_| {
        let mut script = vec![0; 1 + EDIT_BYTES * generator.random_range(1..5)];
        generator.fill_bytes(&mut script);
        script
    })
}
