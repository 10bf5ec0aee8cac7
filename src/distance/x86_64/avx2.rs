//! AVX2 and FMA: eight floats or 32 bytes at once.

super::kernel_set!("avx2");

pub(super) mod vectors {
    use std::arch::x86_64::*;

    use crate::distance::byte_scan;
    use crate::distance::coded::{Coded, Halved};
    use crate::distance::lanewise::{self, LEVELS, Quantised};
    use crate::distance::scan::{Block, CHUNK_BYTES, LANES, ScanTable, WIDEN_CHUNKS};
    use crate::distance::{Bound, portable};

    /// Floats in a register.
    const WIDTH: usize = 8;
    /// Registers in a step of a sum: as many additions are in flight at once.
    const STEP: usize = 4;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sums = [_mm256_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                sums[at] = _mm256_fmadd_ps(load(&a[at]), load(&b[at]), sums[at]);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            sums[at] = _mm256_fmadd_ps(load(a), load(b), sums[at]);
        }
        if !a_tail.is_empty() {
            sums[STEP - 1] = _mm256_fmadd_ps(load_tail(a_tail), load_tail(b_tail), sums[STEP - 1]);
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sums = [_mm256_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                let difference = _mm256_sub_ps(load(&a[at]), load(&b[at]));
                sums[at] = _mm256_fmadd_ps(difference, difference, sums[at]);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            let difference = _mm256_sub_ps(load(a), load(b));
            sums[at] = _mm256_fmadd_ps(difference, difference, sums[at]);
        }
        if !a_tail.is_empty() {
            let difference = _mm256_sub_ps(load_tail(a_tail), load_tail(b_tail));
            sums[STEP - 1] = _mm256_fmadd_ps(difference, difference, sums[STEP - 1]);
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn manhattan(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let sign = _mm256_set1_ps(-0.0);
        let difference = |a: __m256, b: __m256| _mm256_andnot_ps(sign, _mm256_sub_ps(a, b));
        let mut sums = [_mm256_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                sums[at] = _mm256_add_ps(sums[at], difference(load(&a[at]), load(&b[at])));
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            sums[at] = _mm256_add_ps(sums[at], difference(load(a), load(b)));
        }
        if !a_tail.is_empty() {
            sums[STEP - 1] = _mm256_add_ps(sums[STEP - 1], difference(load_tail(a_tail), load_tail(b_tail)));
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx2,fma,popcnt")]
    pub(crate) fn hamming(a: &[u8], b: &[u8]) -> u32 {
        portable::hamming(a, b)
    }

    /// Sums of absolute differences of eight bytes, which are a lane's.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
        let mut sums = [_mm256_setzero_si256(); LANES / 4];
        for (piece, query) in byte_scan::pieces(block, query) {
            let query = _mm256_set1_epi64x(i64::from_le_bytes(*query));
            for (sum, codes) in sums.iter_mut().zip(piece.as_chunks::<32>().0) {
                *sum = _mm256_add_epi64(*sum, _mm256_sad_epu8(load_bytes(codes), query));
            }
        }
        let sums: [[i64; 4]; LANES / 4] = bytemuck::cast(sums);
        let sums = std::array::from_fn(|lane| sums[lane / 4][lane % 4] as i32);
        byte_scan::bounds(block, &sums, bound, lower)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        let ((a_pairs, a_rest), (b_pairs, b_rest)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
        let mut sums = [_mm256_setzero_si256(); 2];
        for (a, b) in a_pairs.iter().zip(b_pairs) {
            for at in 0..2 {
                sums[at] = _mm256_add_epi32(sums[at], _mm256_madd_epi16(widen(&a[at]), widen(&b[at])));
            }
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(widen(a), widen(b)));
        }
        let sum = _mm256_add_epi32(sums[0], sums[1]);
        let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum));
        let tail = a_tail.iter().zip(b_tail).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
        _mm_cvtsi128_si32(sum) + tail
    }

    /// Four rows at once share the widened vector.
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn dots_i8(vector: &[i8], rows: &[i8], products: &mut [i32]) {
        let (fours, rest) = products.as_chunks_mut::<4>();
        let (rows, rows_rest) = rows.split_at(fours.len() * 4 * vector.len());
        let (chunks, tail) = vector.as_chunks::<16>();
        for (rows, products) in rows.chunks_exact(4 * vector.len()).zip(fours) {
            let row = |at: usize| rows[at * vector.len()..][..vector.len()].as_chunks::<16>();
            let rows = [row(0), row(1), row(2), row(3)];
            let mut sums = [_mm256_setzero_si256(); 4];
            for (chunk, vector) in chunks.iter().enumerate() {
                let vector = widen(vector);
                for (sum, (row, _)) in sums.iter_mut().zip(&rows) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(vector, widen(&row[chunk])));
                }
            }
            let pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
            let sums = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
            *products = bytemuck::cast(sums);
            for (product, (_, row_tail)) in products.iter_mut().zip(&rows) {
                *product += tail.iter().zip(*row_tail).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
            }
        }
        for (row, product) in rows_rest.chunks_exact(vector.len()).zip(rest) {
            *product = dot_i8(vector, row);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dots_codes(vector: &Halved<'_>, rows: &[&[u8]], sums: &mut [i32]) {
        for (codes, sum) in rows.iter().zip(sums) {
            *sum = dot_codes(vector.words, codes);
        }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn dot_codes(vector: &[i16], codes: &[u8]) -> i32 {
        let ((a, a_tail), (b, b_tail)) = (vector.as_chunks::<16>(), codes.as_chunks::<16>());
        let mut sum = _mm256_setzero_si256();
        for (a, b) in a.iter().zip(b) {
            // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
            let codes = _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(b.as_ptr().cast()) });
            sum = _mm256_add_epi32(sum, _mm256_madd_epi16(load_bytes(bytemuck::cast_ref(a)), codes));
        }
        let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum));
        let tail = a_tail.iter().zip(b_tail).map(|(&a, &b)| i32::from(a) * i32::from(b));
        tail.fold(_mm_cvtsi128_si32(sum), i32::wrapping_add)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn squared_euclidean_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
        let (low, step) = (_mm256_set1_ps(coded.low), _mm256_set1_ps(coded.step));
        sum_codes(vector, coded.codes, |component, code, sum| {
            let difference = _mm256_fmadd_ps(step, code, _mm256_sub_ps(low, component));
            _mm256_fmadd_ps(difference, difference, sum)
        })
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn manhattan_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
        let (low, step) = (_mm256_set1_ps(coded.low), _mm256_set1_ps(coded.step));
        sum_codes(vector, coded.codes, |component, code, sum| {
            let difference = _mm256_fmadd_ps(step, code, _mm256_sub_ps(low, component));
            _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0), difference))
        })
    }

    /// Sums a term over pairs of a component and a code: `term` adds those of a register to a sum.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn sum_codes(vector: &[f32], codes: &[u8], term: impl Fn(__m256, __m256, __m256) -> __m256) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (vector.as_chunks::<WIDTH>(), codes.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sums = [_mm256_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                sums[at] = term(load(&a[at]), load_codes(&b[at]), sums[at]);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            sums[at] = term(load(a), load_codes(b), sums[at]);
        }
        if !a_tail.is_empty() {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(a_tail.len() as i32), lanes);
            let last = term(load_tail(a_tail), load_codes(&super::super::padded(b_tail)), _mm256_setzero_ps());
            sums[STEP - 1] = _mm256_add_ps(sums[STEP - 1], _mm256_and_ps(_mm256_castsi256_ps(mask), last));
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
        let sums = sums(block.codes(), table.entries());
        let (scale, offset) = (_mm256_set1_ps(table.scale()), _mm256_set1_ps(table.offset()));
        let (base, slack) = (_mm256_set1_ps(bound.base), _mm256_set1_ps(bound.slack));
        let halves = |values: [f32; LANES]| -> [__m256; 2] {
            let halves = values.as_chunks::<WIDTH>().0;
            [load(&halves[0]), load(&halves[1])]
        };
        let [add, mul, err] = block.factors();
        let (add, mul, err) = (halves(add), halves(mul), halves(err));
        let mut above = 0;
        for (half, out) in lower.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
            let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[half]), scale, offset);
            let bounds = _mm256_fmadd_ps(sum, mul[half], _mm256_add_ps(add[half], base));
            let bounds = _mm256_fnmadd_ps(slack, err[half], bounds);
            store(out, bounds);
            let greater = _mm256_cmp_ps::<_CMP_GT_OQ>(bounds, _mm256_set1_ps(bound.threshold));
            above |= (_mm256_movemask_ps(greater) as u32) << (half * WIDTH);
        }
        !above & 0xffff
    }

    /// The sum of the entries that each lane's code selects, as two registers of eight integers.
    ///
    /// Two lanes share a 16-bit word: it sums the word as it is (the even lane plus 256 times the odd one, modulo
    /// 65,536) and its upper half (the odd lane), and the even lane is what is left.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn sums(codes: &[u8], entries: &[u8]) -> [__m256i; 2] {
        let mut totals = [_mm256_setzero_si256(); 2];
        let codes = codes.as_chunks::<CHUNK_BYTES>().0.chunks(WIDEN_CHUNKS);
        let entries = entries.as_chunks::<{ 2 * CHUNK_BYTES }>().0.chunks(WIDEN_CHUNKS);
        for (codes, entries) in codes.zip(entries) {
            let (mut words, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
            for (codes, entries) in codes.iter().zip(entries) {
                let (codes, entries) = (codes.as_chunks::<32>().0, entries.as_chunks::<32>().0);
                for at in 0..2 {
                    let codes = load_bytes(&codes[at]);
                    let nibble = _mm256_set1_epi8(15);
                    let low = _mm256_and_si256(codes, nibble);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
                    let low = _mm256_shuffle_epi8(load_bytes(&entries[at]), low);
                    let high = _mm256_shuffle_epi8(load_bytes(&entries[at + 2]), high);
                    words[0] = _mm256_add_epi16(words[0], low);
                    odd[0] = _mm256_add_epi16(odd[0], _mm256_srli_epi16::<8>(low));
                    words[1] = _mm256_add_epi16(words[1], high);
                    odd[1] = _mm256_add_epi16(odd[1], _mm256_srli_epi16::<8>(high));
                }
            }
            let (words, odd) = (_mm256_add_epi16(words[0], words[1]), _mm256_add_epi16(odd[0], odd[1]));
            let (words, odd) = (add_halves(words), add_halves(odd));
            let even = _mm_sub_epi16(words, _mm_slli_epi16::<8>(odd));
            let (first, last) = (_mm_unpacklo_epi16(even, odd), _mm_unpackhi_epi16(even, odd));
            totals[0] = _mm256_add_epi32(totals[0], _mm256_cvtepu16_epi32(first));
            totals[1] = _mm256_add_epi32(totals[1], _mm256_cvtepu16_epi32(last));
        }
        totals
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fill(query: &[f32], entries: &mut [u8]) -> Quantised {
        lanewise::fill(query, entries)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn quantise(values: &[f32], codes: &mut [u8]) -> (f32, f32) {
        lanewise::quantise(values, codes)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn round_to_bytes(values: &[f32], origin: &[f32], codes: &mut [i8]) -> f32 {
        lanewise::round_to_bytes(values, origin, codes)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn fill_levels(query: &[f32], levels: &[[f32; LEVELS]], entries: &mut [u8]) -> Quantised {
        lanewise::fill_levels(query, levels, entries)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn hadamard(values: &mut [f32]) {
        lanewise::hadamard(values);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn multiply(values: &mut [f32], factors: &[f32]) {
        lanewise::multiply(values, factors);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn add_assign(sum: &mut [f32], vector: &[f32]) {
        lanewise::add_assign(sum, vector);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn approach(mean: &mut [f32], vector: &[f32], share: f32) {
        lanewise::approach(mean, vector, share);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn widen_halves(halves: &[u16], scale: f32, out: &mut [f32]) {
        lanewise::widen_halves(halves, scale, out);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn widen_bytes(bytes: &[u8], least: f32, step: f32, out: &mut [f32]) {
        lanewise::widen_bytes(bytes, least, step, out);
    }

    /// The sum of all lanes of the registers.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn add_lanes(sums: [__m256; STEP]) -> f32 {
        let sum = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]));
        let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)))
    }

    /// The sums of the 16-bit words of both halves.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn add_halves(words: __m256i) -> __m128i {
        _mm_add_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load(values: &[f32; WIDTH]) -> __m256 {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    /// Loads fewer floats than a register has; the other lanes are zero.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load_tail(values: &[f32]) -> __m256 {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(values.len() as i32), lanes);
        // SAFETY: the mask selects only lanes below the slice's length, and others are not read.
        unsafe { _mm256_maskload_ps(values.as_ptr(), mask) }
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load_bytes(bytes: &[u8; 32]) -> __m256i {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    /// Loads bytes as 16-bit integers.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn widen(bytes: &[i8; 16]) -> __m256i {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    /// Loads bytes as floats.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn load_codes(codes: &[u8; WIDTH]) -> __m256 {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        let codes = unsafe { _mm_loadl_epi64(codes.as_ptr().cast()) };
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes))
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn store(out: &mut [f32; WIDTH], values: __m256) {
        // SAFETY: the reference is to as many bytes as are written, and the store needs no alignment.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) }
    }
}
