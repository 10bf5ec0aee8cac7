//! AVX-512 with VNNI: products of bytes are summed four at a time, without being widened first. All else is AVX-512's.

super::kernel_set!("avx512vnni");

mod vectors {
    use std::arch::x86_64::*;

    use crate::distance::Halved;

    pub(super) use super::super::avx512::vectors::{
        add_assign, approach, dot, fill, fill_levels, hadamard, hamming, manhattan, manhattan_coded, multiply,
        quantise, round_to_bytes, scan, scan_bytes, squared_euclidean, squared_euclidean_coded, widen_bytes,
        widen_halves,
    };

    /// Bytes in a register.
    const WIDTH: usize = 64;
    /// Rows multiplied at once.
    const ROWS: usize = 4;

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn dot_i8(a: &[i8], b: &[i8]) -> i32 {
        let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<WIDTH>(), b.as_chunks::<WIDTH>());
        let (mut sum, mut excess) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut add = |a: __m512i, b: __m512i| {
            sum = _mm512_dpbusd_epi32(sum, raise(b), a);
            excess = _mm512_dpbusd_epi32(excess, raise(_mm512_setzero_si512()), a);
        };
        for (a, b) in a.iter().zip(b) {
            add(load(a), load(b));
        }
        if !a_tail.is_empty() {
            add(load_tail(a_tail), load_tail(b_tail));
        }
        _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, excess))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn dots_i8(vector: &[i8], rows: &[i8], products: &mut [i32]) {
        let (fours, rest) = products.as_chunks_mut::<ROWS>();
        let (rows, rows_rest) = rows.split_at(fours.len() * ROWS * vector.len());
        let (chunks, tail) = vector.as_chunks::<WIDTH>();
        let excess = _mm_set1_epi32(vector.iter().map(|&value| 128 * i32::from(value)).sum());
        for (rows, products) in rows.chunks_exact(ROWS * vector.len()).zip(fours) {
            let rows: [_; ROWS] =
                std::array::from_fn(|at| rows[at * vector.len()..][..vector.len()].as_chunks::<WIDTH>());
            let mut sums = [_mm512_setzero_si512(); ROWS];
            for (chunk, vector) in chunks.iter().enumerate() {
                let vector = load(vector);
                for (sum, (row, _)) in sums.iter_mut().zip(&rows) {
                    *sum = _mm512_dpbusd_epi32(*sum, raise(load(&row[chunk])), vector);
                }
            }
            if !tail.is_empty() {
                let vector = load_tail(tail);
                for (sum, (_, row_tail)) in sums.iter_mut().zip(&rows) {
                    *sum = _mm512_dpbusd_epi32(*sum, raise(load_tail(row_tail)), vector);
                }
            }
            *products = bytemuck::cast(_mm_sub_epi32(add_lanes(sums), excess));
        }
        for (row, product) in rows_rest.chunks_exact(vector.len()).zip(rest) {
            *product = dot_i8(vector, row);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub(super) fn dots_codes(vector: &Halved<'_>, rows: &[&[u8]], sums: &mut [i32]) {
        let ((fours, rest), (four_sums, rest_sums)) = (rows.as_chunks::<ROWS>(), sums.as_chunks_mut::<ROWS>());
        for (rows, sums) in fours.iter().zip(four_sums) {
            *sums = bytemuck::cast(add_lanes(products(vector, *rows)));
        }
        for (&row, sum) in rest.iter().zip(rest_sums) {
            let [product] = products(vector, [row]);
            *sum = _mm512_reduce_add_epi32(product);
        }
    }

    /// The products with each row, in lanes. Codes are unsigned bytes as they are; each half of a word is multiplied by
    /// itself.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[inline]
    fn products<const COUNT: usize>(vector: &Halved<'_>, rows: [&[u8]; COUNT]) -> [__m512i; COUNT] {
        let ((high, high_tail), (low, low_tail)) =
            (vector.high.as_chunks::<WIDTH>(), vector.low.as_chunks::<WIDTH>());
        let rows = rows.map(|row| bytemuck::cast_slice::<u8, i8>(row).as_chunks::<WIDTH>());
        let mut products = [[_mm512_setzero_si512(); 2]; COUNT];
        for (chunk, (high, low)) in high.iter().zip(low).enumerate() {
            let (high, low) = (load(high), load(low));
            for ([above, below], (row, _)) in products.iter_mut().zip(&rows) {
                let codes = load(&row[chunk]);
                *above = _mm512_dpbusd_epi32(*above, codes, high);
                *below = _mm512_dpbusd_epi32(*below, codes, low);
            }
        }
        if !high_tail.is_empty() {
            let (high, low) = (load_tail(high_tail), load_tail(low_tail));
            for ([above, below], (_, tail)) in products.iter_mut().zip(&rows) {
                let codes = load_tail(tail);
                *above = _mm512_dpbusd_epi32(*above, codes, high);
                *below = _mm512_dpbusd_epi32(*below, codes, low);
            }
        }
        products.map(|[above, below]| _mm512_add_epi32(_mm512_slli_epi32::<8>(above), below))
    }

    /// Signed bytes, each raised by 128: the instruction multiplies unsigned bytes with signed ones.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[inline]
    fn raise(bytes: __m512i) -> __m512i {
        _mm512_xor_si512(bytes, _mm512_set1_epi8(-128))
    }

    /// The sums of the lanes of each register.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[inline]
    fn add_lanes(sums: [__m512i; ROWS]) -> __m128i {
        let halves =
            sums.map(|sum| _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum)));
        let pairs =
            _mm256_hadd_epi32(_mm256_hadd_epi32(halves[0], halves[1]), _mm256_hadd_epi32(halves[2], halves[3]));
        _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs))
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[inline]
    fn load(bytes: &[i8; WIDTH]) -> __m512i {
        // SAFETY: the reference is to as many bytes as are read, and the load needs no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    /// Loads fewer bytes than a register has; the others are zero.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[inline]
    fn load_tail(bytes: &[i8]) -> __m512i {
        let mask = (1u64 << (bytes.len() % WIDTH)) - 1;
        // SAFETY: the mask selects at most as many lanes as the slice has bytes, and others are not read.
        unsafe { _mm512_maskz_loadu_epi8(mask, bytes.as_ptr()) }
    }
}
