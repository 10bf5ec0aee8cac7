//! AVX-512 (F, BW, VL, DQ): 16 floats or 64 bytes at once, and masked loads for what is left.

super::kernel_set!("avx512");

pub(super) mod vectors {
    use std::arch::x86_64::*;

    use crate::distance::Bound;
    use crate::distance::byte_scan;
    use crate::distance::coded::{Coded, Halved};
    use crate::distance::lanewise::{self, LEVELS, Quantised};
    use crate::distance::scan::{Block, CHUNK_BYTES, LANES, ScanTable, WIDEN_CHUNKS};

    /// The narrower forms are the faster ones: twice as fast for the transform, whose shuffles compile badly for wide
    /// registers, and no slower for the others.
    pub(crate) use super::super::avx2::vectors::{
        add_assign, approach, dots_i8, hadamard, hamming, multiply, quantise, round_to_bytes, widen_bytes,
        widen_halves,
    };

    /// Floats in a register.
    const WIDTH: usize = 16;
    /// Registers in a step of a sum: as many additions are in flight at once.
    const STEP: usize = 4;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sums = [_mm512_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                sums[at] = _mm512_fmadd_ps(load(&a[at]), load(&b[at]), sums[at]);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            sums[at] = _mm512_fmadd_ps(load(a), load(b), sums[at]);
        }
        if !a_tail.is_empty() {
            sums[STEP - 1] = _mm512_fmadd_ps(load_tail(a_tail), load_tail(b_tail), sums[STEP - 1]);
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn squared_euclidean(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sums = [_mm512_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                let difference = _mm512_sub_ps(load(&a[at]), load(&b[at]));
                sums[at] = _mm512_fmadd_ps(difference, difference, sums[at]);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            let difference = _mm512_sub_ps(load(a), load(b));
            sums[at] = _mm512_fmadd_ps(difference, difference, sums[at]);
        }
        if !a_tail.is_empty() {
            let difference = _mm512_sub_ps(load_tail(a_tail), load_tail(b_tail));
            sums[STEP - 1] = _mm512_fmadd_ps(difference, difference, sums[STEP - 1]);
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn manhattan(a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let difference = |a: __m512, b: __m512| _mm512_abs_ps(_mm512_sub_ps(a, b));
        let mut sums = [_mm512_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                sums[at] = _mm512_add_ps(sums[at], difference(load(&a[at]), load(&b[at])));
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            sums[at] = _mm512_add_ps(sums[at], difference(load(a), load(b)));
        }
        if !a_tail.is_empty() {
            sums[STEP - 1] = _mm512_add_ps(sums[STEP - 1], difference(load_tail(a_tail), load_tail(b_tail)));
        }
        add_lanes(sums)
    }

    /// Sums of absolute differences of eight bytes, which are a lane's.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn scan_bytes(block: &Block<'_>, query: &[u8], bound: Bound, lower: &mut [f32; LANES]) -> u32 {
        let mut sums = [_mm512_setzero_si512(); LANES / 8];
        for (piece, query) in byte_scan::pieces(block, query) {
            let query = _mm512_set1_epi64(i64::from_le_bytes(*query));
            for (sum, codes) in sums.iter_mut().zip(piece.as_chunks::<CHUNK_BYTES>().0) {
                *sum = _mm512_add_epi64(*sum, _mm512_sad_epu8(load_bytes(codes), query));
            }
        }
        let sums: [[i32; 8]; LANES / 8] = sums.map(|sums| bytemuck::cast(_mm512_cvtepi64_epi32(sums)));
        byte_scan::bounds(block, &bytemuck::cast(sums), bound, lower)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
        let ((a_pairs, a_rest), (b_pairs, b_rest)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
        let mut sums = [_mm512_setzero_si512(); 2];
        for (a, b) in a_pairs.iter().zip(b_pairs) {
            for at in 0..2 {
                sums[at] = _mm512_add_epi32(sums[at], _mm512_madd_epi16(widen(&a[at]), widen(&b[at])));
            }
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            sums[0] = _mm512_add_epi32(sums[0], _mm512_madd_epi16(widen(a), widen(b)));
        }
        if !a_tail.is_empty() {
            let products = _mm512_madd_epi16(widen_tail(a_tail), widen_tail(b_tail));
            sums[1] = _mm512_add_epi32(sums[1], products);
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn dots_codes(vector: &Halved<'_>, rows: &[&[u8]], sums: &mut [i32]) {
        for (codes, sum) in rows.iter().zip(sums) {
            *sum = dot_codes(vector.words, codes);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn dot_codes(vector: &[i16], codes: &[u8]) -> i32 {
        let ((a, a_tail), (b, b_tail)) = (vector.as_chunks::<32>(), codes.as_chunks::<32>());
        let ((a_pairs, a_rest), (b_pairs, b_rest)) = (a.as_chunks::<2>(), b.as_chunks::<2>());
        let product = |a: &[i16; 32], b| _mm512_madd_epi16(load_bytes(bytemuck::cast_ref(a)), widen_codes(b));
        let mut sums = [_mm512_setzero_si512(); 2];
        for (a, b) in a_pairs.iter().zip(b_pairs) {
            for at in 0..2 {
                sums[at] = _mm512_add_epi32(sums[at], product(&a[at], &b[at]));
            }
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            sums[0] = _mm512_add_epi32(sums[0], product(a, b));
        }
        if !a_tail.is_empty() {
            let mask = (1u32 << (a_tail.len() % 32)) - 1;
            // SAFETY: the mask selects at most as many lanes as the slice is long, and others are not read.
            let a = unsafe { _mm512_maskz_loadu_epi16(mask, a_tail.as_ptr()) };
            // SAFETY: as above, and both are of one length.
            let b = unsafe { _mm256_maskz_loadu_epi8(mask, b_tail.as_ptr().cast()) };
            sums[1] = _mm512_add_epi32(sums[1], _mm512_madd_epi16(a, _mm512_cvtepu8_epi16(b)));
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn squared_euclidean_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
        let (low, step) = (_mm512_set1_ps(coded.low), _mm512_set1_ps(coded.step));
        sum_codes(vector, coded.codes, |component, code, sum| {
            let difference = _mm512_fmadd_ps(step, code, _mm512_sub_ps(low, component));
            _mm512_fmadd_ps(difference, difference, sum)
        })
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn manhattan_coded(vector: &[f32], coded: &Coded<'_>) -> f32 {
        let (low, step) = (_mm512_set1_ps(coded.low), _mm512_set1_ps(coded.step));
        sum_codes(vector, coded.codes, |component, code, sum| {
            let difference = _mm512_fmadd_ps(step, code, _mm512_sub_ps(low, component));
            _mm512_add_ps(sum, _mm512_abs_ps(difference))
        })
    }

    /// Sums a term over pairs of a component and a code: `term` adds those of a register to a sum.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn sum_codes(vector: &[f32], codes: &[u8], term: impl Fn(__m512, __m512, __m512) -> __m512) -> f32 {
        let ((a, a_tail), (b, b_tail)) = (vector.as_chunks::<WIDTH>(), codes.as_chunks::<WIDTH>());
        let ((a_steps, a_rest), (b_steps, b_rest)) = (a.as_chunks::<STEP>(), b.as_chunks::<STEP>());
        let mut sums = [_mm512_setzero_ps(); STEP];
        for (a, b) in a_steps.iter().zip(b_steps) {
            for at in 0..STEP {
                sums[at] = term(load(&a[at]), load_codes(&b[at]), sums[at]);
            }
        }
        for (at, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
            sums[at] = term(load(a), load_codes(b), sums[at]);
        }
        if !a_tail.is_empty() {
            let mask = (1u16 << a_tail.len()) - 1;
            let last = term(load_tail(a_tail), load_codes(&super::super::padded(b_tail)), _mm512_setzero_ps());
            sums[STEP - 1] = _mm512_mask_add_ps(sums[STEP - 1], mask, sums[STEP - 1], last);
        }
        add_lanes(sums)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn scan(block: &Block<'_>, table: &ScanTable, bound: Bound, lower: &mut [f32; LANES]) -> u32 {
        let sums = sums(block.codes(), table.entries());
        let [add, mul, err] = block.factors();
        let (add, mul, err) = (load(&add), load(&mul), load(&err));
        let (scale, offset) = (_mm512_set1_ps(table.scale()), _mm512_set1_ps(table.offset()));
        let sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), scale, offset);
        let bounds = _mm512_fmadd_ps(sum, mul, _mm512_add_ps(add, _mm512_set1_ps(bound.base)));
        let bounds = _mm512_fnmadd_ps(_mm512_set1_ps(bound.slack), err, bounds);
        store(lower, bounds);
        let above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(bounds, _mm512_set1_ps(bound.threshold));
        u32::from(!above)
    }

    /// The sum of the entries that each lane's code selects.
    ///
    /// Two lanes share a 16-bit word: it sums the word as it is (the even lane plus 256 times the odd one, modulo
    /// 65,536) and its upper half (the odd lane), and the even lane is what is left.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn sums(codes: &[u8], entries: &[u8]) -> __m512i {
        let nibble = _mm512_set1_epi8(15);
        let mut totals = _mm512_setzero_si512();
        let codes = codes.as_chunks::<CHUNK_BYTES>().0.chunks(WIDEN_CHUNKS);
        let entries = entries.as_chunks::<{ 2 * CHUNK_BYTES }>().0.chunks(WIDEN_CHUNKS);
        for (codes, entries) in codes.zip(entries) {
            let (mut words, mut odd) = ([_mm512_setzero_si512(); 2], [_mm512_setzero_si512(); 2]);
            for (codes, entries) in codes.iter().zip(entries) {
                let entries = entries.as_chunks::<CHUNK_BYTES>().0;
                let codes = load_bytes(codes);
                let low = _mm512_and_si512(codes, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
                let low = _mm512_shuffle_epi8(load_bytes(&entries[0]), low);
                let high = _mm512_shuffle_epi8(load_bytes(&entries[1]), high);
                words[0] = _mm512_add_epi16(words[0], low);
                odd[0] = _mm512_add_epi16(odd[0], _mm512_srli_epi16::<8>(low));
                words[1] = _mm512_add_epi16(words[1], high);
                odd[1] = _mm512_add_epi16(odd[1], _mm512_srli_epi16::<8>(high));
            }
            let (words, odd) = (_mm512_add_epi16(words[0], words[1]), _mm512_add_epi16(odd[0], odd[1]));
            let (words, odd) = (add_quarters(words), add_quarters(odd));
            let even = _mm_sub_epi16(words, _mm_slli_epi16::<8>(odd));
            let lanes = _mm256_set_m128i(_mm_unpackhi_epi16(even, odd), _mm_unpacklo_epi16(even, odd));
            totals = _mm512_add_epi32(totals, _mm512_cvtepu16_epi32(lanes));
        }
        totals
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn fill(query: &[f32], entries: &mut [u8]) -> Quantised {
        lanewise::fill(query, entries)
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(crate) fn fill_levels(query: &[f32], levels: &[[f32; LEVELS]], entries: &mut [u8]) -> Quantised {
        lanewise::fill_levels(query, levels, entries)
    }

    /// The sum of all lanes of the registers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn add_lanes(sums: [__m512; STEP]) -> f32 {
        let sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
        _mm512_reduce_add_ps(sum)
    }

    /// The sums of the 16-bit words of all quarters.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn add_quarters(words: __m512i) -> __m128i {
        let words = _mm256_add_epi16(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64::<1>(words));
        _mm_add_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn load(values: &[f32; WIDTH]) -> __m512 {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    /// Loads fewer floats than a register has; the other lanes are zero.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn load_tail(values: &[f32]) -> __m512 {
        let mask = (1u16 << (values.len() % WIDTH)) - 1;
        // SAFETY: the mask selects at most as many lanes as the slice has floats, and others are not read.
        unsafe { _mm512_maskz_loadu_ps(mask, values.as_ptr()) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn load_bytes(bytes: &[u8; CHUNK_BYTES]) -> __m512i {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    /// Loads bytes as 16-bit integers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn widen(bytes: &[i8; 32]) -> __m512i {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        _mm512_cvtepi8_epi16(unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) })
    }

    /// Loads codes as 16-bit integers.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn widen_codes(codes: &[u8; 32]) -> __m512i {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        _mm512_cvtepu8_epi16(unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) })
    }

    /// Loads fewer than 32 bytes as 16-bit integers; the others are zero.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn widen_tail(bytes: &[i8]) -> __m512i {
        let mask = (1u32 << (bytes.len() % 32)) - 1;
        // SAFETY: the mask selects at most as many lanes as the slice has bytes, and others are not read.
        _mm512_cvtepi8_epi16(unsafe { _mm256_maskz_loadu_epi8(mask, bytes.as_ptr()) })
    }

    /// Loads bytes as floats.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn load_codes(codes: &[u8; WIDTH]) -> __m512 {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        let codes = unsafe { _mm_loadu_si128(codes.as_ptr().cast()) };
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[inline]
    fn store(out: &mut [f32; WIDTH], values: __m512) {
        // SAFETY: the reference is to as many bytes as are written, and the store needs no alignment.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) }
    }
}
