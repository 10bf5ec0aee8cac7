//! Lays columns out by position.

use super::dictionary::Sorted;
use super::gather::Values;
use super::{COMPLETE, DENSE_ONE_IN, ENTRY_BYTES, Gathered, HEADER_BYTES, INDEXED, LEFT_OUT, SINGLE};
use crate::bitmap::Bitmap;
use crate::bytes::checksum;
use crate::error::Result;

/// Writes the section with `put`: a column a field, then the directory that names them. `row_at` has the row at each
/// position.
pub(in crate::segment) fn write(
    gathered: &Gathered,
    row_at: &[u32],
    put: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let fields = gathered.fields();
    let (mut entries, mut paths, mut offset) = (Vec::with_capacity(fields.len() * ENTRY_BYTES), Vec::new(), 0u64);
    for (path, values) in fields {
        paths.extend_from_slice(path.as_bytes());
        let column = if values.left_out { None } else { encode(values, row_at) };
        let bytes = column.as_deref().unwrap_or(&[]);
        entries.extend(offset.to_le_bytes());
        entries.extend((bytes.len() as u64).to_le_bytes());
        entries.extend(checksum(&[bytes]).to_le_bytes());
        entries.extend((paths.len() as u32).to_le_bytes());
        entries.extend(if column.is_some() { INDEXED } else { LEFT_OUT }.to_le_bytes());
        entries.extend([0; 4]);
        put(bytes)?;
        offset += bytes.len() as u64;
    }
    let mut footer = Vec::new();
    footer.extend((fields.len() as u32).to_le_bytes());
    footer.extend((paths.len() as u32).to_le_bytes());
    footer.extend(if gathered.is_complete() { COMPLETE } else { 0 }.to_le_bytes());
    let sum = checksum(&[&entries, &paths, &footer]);
    footer.extend(sum.to_le_bytes());
    [entries, paths, footer].iter().try_for_each(|part| put(part))
}

/// A column; `None` if it has more of anything than 32 bits count.
fn encode(values: &Values, row_at: &[u32]) -> Option<Vec<u8>> {
    let items = row_at.len();
    let long = values.long.iter().map(|(tagged, &number)| (tagged.to_vec(), number));
    let sorted = Sorted::new(values.fixed.iter().map(|(&(tag, bits), &number)| (tag, bits, number)), long);
    let mut rank_of = vec![0u32; sorted.values.len()];
    sorted.values.iter().zip(0..).for_each(|((_, number), rank)| rank_of[*number as usize] = rank);
    let mut counts = vec![0u64; sorted.values.len()];
    values.entries.iter().for_each(|(_, number)| counts[rank_of[*number as usize] as usize] += 1);

    // Where each value's list begins; a value that has a bitmap in its place has an empty one.
    let is_dense = |count: u64| count * DENSE_ONE_IN >= items as u64;
    let mut starts = vec![0u32];
    let (mut dense, mut bitmap_of) = (Vec::new(), vec![u32::MAX; counts.len()]);
    let mut end = 0u32;
    for (rank, &count) in (0u32..).zip(&counts) {
        if is_dense(count) {
            bitmap_of[rank as usize] = dense.len() as u32;
            dense.push(rank);
        } else {
            end = end.checked_add(u32::try_from(count).ok()?)?;
        }
        starts.push(end);
    }
    let mut present = Bitmap::new(items);
    let mut bitmaps = vec![Bitmap::new(items); dense.len()];
    let mut lists = vec![0u32; end as usize];
    let mut next = starts.clone();
    let firsts = first_entries(values, items);
    let mut has = Bitmap::new(items);
    for &row in &values.present {
        has.insert(row as usize);
    }
    for (position, &row) in (0u32..).zip(row_at) {
        let row = row as usize;
        if has.contains(row) {
            present.insert(position as usize);
        }
        for &(_, number) in &values.entries[firsts[row] as usize..firsts[row + 1] as usize] {
            let rank = rank_of[number as usize] as usize;
            match bitmaps.get_mut(bitmap_of[rank] as usize) {
                Some(bitmap) => {
                    bitmap.insert(position as usize);
                }
                None => {
                    lists[next[rank] as usize] = position;
                    next[rank] += 1;
                }
            }
        }
    }
    let (kind, dictionary) = sorted.encode();
    let flags = if values.not_single == 0 { SINGLE } else { 0 };
    let mut out = Vec::with_capacity(HEADER_BYTES + dictionary.len() + 4 * lists.len());
    for number in [sorted.values.len(), lists.len(), dense.len(), values.present.len()] {
        out.extend(u32::try_from(number).ok()?.to_le_bytes());
    }
    out.extend([kind, flags, 0, 0, 0, 0, 0, 0]);
    out.extend((dictionary.len() as u64).to_le_bytes());
    for words in std::iter::once(&present).chain(&bitmaps).map(Bitmap::words) {
        words.iter().for_each(|word| out.extend(word.to_le_bytes()));
    }
    for numbers in [&dense, &starts, &lists] {
        numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
    }
    out.extend(dictionary);
    out.resize(out.len().next_multiple_of(8), 0);
    Some(out)
}

/// For each row its first entry, and the end of the last row's. A column has fewer entries than 32 bits count, since
/// gathering bounds them.
fn first_entries(values: &Values, rows: usize) -> Vec<u32> {
    let mut firsts = vec![0u32; rows + 1];
    values.entries.iter().for_each(|&(row, _)| firsts[row as usize + 1] += 1);
    let mut sum = 0;
    for first in &mut firsts {
        sum += *first;
        *first = sum;
    }
    firsts
}
