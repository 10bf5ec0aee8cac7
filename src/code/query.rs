//! A query made ready to be compared with runs: rotated once, its look-up table and its bytes made once, used for every
//! group, every leaf and the delta.
//!
//! Groups are ranked by codes of signs in the rotated space whatever the metric is: leaves that are near by euclidean
//! distance are as good an order for manhattan as leaves that are near by manhattan distance, and for bits the squared
//! euclidean distance is that of hamming. Items are scanned in the codes of their metric.

use std::f32::consts::FRAC_PI_2;

use super::Quantiser;
use super::frame::Frame;
use super::heads::Heads;
use super::kind::CodeKind;
use super::run::Run;
use crate::bits;
use crate::distance::{Block, Bound, Kernels, LANES, ScanTable, kernels};
use crate::types::Metric;
use crate::vector::Components;

/// Standard errors of the inner product of a quantised query with a centroid that bounds allow for.
const QUANTISATION_BOUND: f32 = 4.0;

/// Relative rounding of float32 sums that bounds allow for.
const FLOAT_ROUNDING: f32 = 1.0 / (1 << 20) as f32;

/// From this error bound on the bounds of half bytes hold for every item, however its errors add up.
pub(crate) const LOSES_NONE: f32 = 5.0;

/// The same of sums over an item's components, as shares of its squared norm.
const LIMIT_ROUNDING: f32 = 1.0 / (1 << 18) as f32;

/// Components of a rounded vector that are widened at once.
const PIECE: usize = 512;

/// A prepared query. Reused from query to query for its allocations.
#[derive(Default)]
pub(crate) struct QueryCode {
    metric: Metric,
    /// How items are coded, but for the length of their factors.
    kind: CodeKind,
    error_bound: f32,
    /// The caller's components, for exact distances.
    vector: Vec<f32>,
    inverse_norm: f32,
    placed: Vec<f32>,
    squared_norm: f32,
    table: ScanTable,
    /// In the narrow space, and the table of the codes in it.
    narrow: Vec<f32>,
    narrow_table: ScanTable,
    /// For each segment, whether its codes are those.
    is_narrow: Vec<bool>,
    bytes: Vec<i8>,
    step: f32,
    packed: Vec<u8>,
    /// The table of the packed bits.
    bit_table: ScanTable,
    /// What is compared with the codes of each segment that has a quantiser.
    quantised: Vec<Quantised>,
}

/// A query for one segment's quantiser.
enum Quantised {
    /// Its code and the code's error.
    Bytes(Vec<u8>, f32),
    /// Its distances from the levels.
    HalfBytes(ScanTable),
}

impl QueryCode {
    /// Makes this the code of `vector`, which must be valid for the frame. An estimate may be off by `error_bound` times
    /// its standard error before an item is lost to the search.
    pub(crate) fn prepare(&mut self, frame: &Frame, vector: &[f32], error_bound: f32) {
        self.error_bound = error_bound;
        self.metric = frame.metric();
        self.kind = CodeKind::of_items(self.metric);
        self.vector.clear();
        self.vector.extend_from_slice(vector);
        self.inverse_norm = frame.inverse_norm(vector);
        self.placed.resize(frame.padded(), 0.0);
        frame.place(vector, self.inverse_norm, &mut self.placed);
        self.squared_norm = kernels().dot(&self.placed, &self.placed);
        self.table.fill(&self.placed);
        self.table.cover_rounding();
        let largest = self.placed.iter().fold(0.0f32, |largest, component| largest.max(component.abs()));
        self.step = (largest / 127.0).max(f32::MIN_POSITIVE);
        let scale = 1.0 / self.step;
        self.bytes.clear();
        // Adding 1.5 * 2^23 rounds to a whole number, which the low bits then hold.
        self.bytes.extend(self.placed.iter().map(|component| (component * scale + 12_582_912.0).to_bits() as i8));
        // With the query's norm the error of a product is apart from the query itself. Errors along it would add up with every
        // centroid where components have a few magnitudes only, as those of a rotated line do.
        let coded = kernels().dot_i8(&self.bytes, &self.bytes) as f32;
        if coded > 0.0 && self.squared_norm.is_normal() {
            self.step = (self.squared_norm / coded).sqrt();
        }
        self.quantised.clear();
        self.is_narrow.clear();
        if self.kind == CodeKind::Bits {
            self.packed.clear();
            bits::pack(vector, &mut self.packed);
            self.bit_table.fill_bits(&self.packed, frame.padded());
        }
    }

    /// Makes the query ready for the codes of the next segment.
    pub(crate) fn add_segment(&mut self, frame: &Frame, kind: CodeKind) {
        let is_narrow = matches!(kind, CodeKind::Narrow(_));
        if is_narrow && !self.is_narrow.contains(&true) {
            self.narrow.resize(frame.narrow(), 0.0);
            frame.place_narrow(&self.vector, self.inverse_norm, &mut self.narrow);
            self.narrow_table.fill_steps(&self.narrow);
        }
        self.is_narrow.push(is_narrow);
    }

    /// Codes the query for the quantiser of the next segment.
    pub(crate) fn add_quantiser(&mut self, quantiser: &Quantiser) {
        let padded = self.placed.len();
        self.quantised.push(match quantiser {
            Quantiser::Steps(steps) => {
                let mut code = vec![0; padded];
                let error = steps.code(&self.vector, &mut code);
                Quantised::Bytes(code, error)
            }
            Quantiser::Levels(levels) => {
                let mut table = ScanTable::default();
                levels.fill_table(&self.vector, padded, &mut table);
                Quantised::HalfBytes(table)
            }
        });
    }

    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn components(&self) -> usize {
        self.vector.len()
    }

    pub(crate) fn table(&self) -> &ScanTable {
        &self.table
    }

    /// What the codes of items in a run of a segment, counted among those of the query, are compared with. The lanes'
    /// results are lower bounds of the distance, in the measure of [`Self::measure`]: of half bytes such as hold for items
    /// whose errors are as those of the run's items to each other, and from [`LOSES_NONE`] on for all.
    pub(crate) fn item_bound(&self, kernels: &Kernels, segment: u32, run: &Run<'_>) -> Bound {
        match self.kind {
            CodeKind::Signs | CodeKind::ShortSigns | CodeKind::Narrow(_) => self.bound(kernels, run),
            CodeKind::Bits => Bound { base: 0.0, slack: 0.0, threshold: f32::INFINITY },
            CodeKind::Bytes | CodeKind::HalfBytes => {
                let (error, slack) = match self.quantised.get(segment as usize) {
                    Some(Quantised::Bytes(_, error)) => (*error, 1.0),
                    Some(Quantised::HalfBytes(_)) if self.error_bound < LOSES_NONE => (0.0, run.error_share()),
                    Some(Quantised::HalfBytes(_)) => (0.0, 1.0),
                    None => (f32::INFINITY, 1.0),
                };
                Bound { base: -error, slack, threshold: f32::INFINITY }
            }
        }
    }

    /// Scans a block of items of a segment; see [`Kernels::scan`].
    pub(crate) fn scan_items(
        &self,
        kernels: &Kernels,
        segment: u32,
        block: &Block<'_>,
        bound: Bound,
        lower: &mut [f32; LANES],
    ) -> u32 {
        match self.kind {
            CodeKind::Signs | CodeKind::ShortSigns | CodeKind::Narrow(_) => {
                // The delta's codes are signs, whatever the first segment has.
                let narrow = block.has_short_factors() && self.is_narrow.get(segment as usize) == Some(&true);
                kernels.scan(block, if narrow { &self.narrow_table } else { &self.table }, bound, lower)
            }
            CodeKind::Bits => kernels.scan(block, &self.bit_table, bound, lower),
            CodeKind::Bytes | CodeKind::HalfBytes => match self.quantised.get(segment as usize) {
                Some(Quantised::Bytes(code, _)) => kernels.scan_bytes(block, code, bound, lower),
                Some(Quantised::HalfBytes(table)) => kernels.scan(block, table, bound, lower),
                // Without a code nothing is ruled out.
                None => {
                    lower.fill(f32::NEG_INFINITY);
                    u32::from(u16::MAX)
                }
            },
        }
    }

    /// What groups are ranked by, the nearest having the least, and what the bounds of their leaves are made of. They are the
    /// same but under dot, where the longest items of a group may be the best.
    pub(crate) fn rank_groups<'a>(
        &'a self,
        kernels: &Kernels,
        heads: &'a Heads,
        products: &'a mut Vec<i32>,
    ) -> impl Iterator<Item = (f32, f32)> + 'a {
        products.resize(heads.len(), 0);
        kernels.dots_i8(&self.bytes, heads.codes(), products);
        let slack = self.error_bound * self.squared_norm.sqrt();
        products.iter().zip(heads.scales()).zip(heads.spreads()).map(move |((&product, scales), &spread)| {
            let base = self.bound_of(product, scales).base;
            (if spread == 0.0 { base } else { base - slack * spread }, base)
        })
    }

    /// What the codes of signs of a run are compared with: a group's leaves, or items.
    pub(crate) fn bound(&self, kernels: &Kernels, run: &Run<'_>) -> Bound {
        self.bound_of(kernels.dot_i8(&self.bytes, run.centroid()), (run.step(), run.squared_norm()))
    }

    fn bound_of(&self, product: i32, (step, squared): (f32, f32)) -> Bound {
        let product = product as f32 * self.step * step;
        // A component's rounding is uniform within half a step: its deviation is the step / sqrt(12).
        let rounding = QUANTISATION_BOUND * self.step * (squared / 12.0).sqrt();
        match self.metric {
            Metric::Dot => Bound {
                base: -product - rounding - FLOAT_ROUNDING * (self.squared_norm * squared).sqrt(),
                slack: self.error_bound * self.squared_norm.sqrt(),
                threshold: f32::INFINITY,
            },
            _ => {
                let base = self.squared_norm + squared - 2.0 * product;
                Bound {
                    base: base - 2.0 * rounding - FLOAT_ROUNDING * (self.squared_norm + squared),
                    slack: self.error_bound * base.max(0.0).sqrt(),
                    threshold: f32::INFINITY,
                }
            }
        }
    }

    /// What the leaves of a group are ranked by, from the [base](Self::rank_groups) of the group: estimates of the squared
    /// distances of their centroids; under dot, where items far from their centroid may have the largest products, bounds of
    /// these.
    pub(crate) fn leaf_bound(&self, base: f32) -> Bound {
        let slack = if self.metric == Metric::Dot { self.error_bound * self.squared_norm.sqrt() } else { 0.0 };
        Bound { base, slack, threshold: f32::INFINITY }
    }

    /// Whether a delta's items have codes. Those of manhattan would need a quantiser, and are compared one by one.
    pub(crate) fn scans_delta(&self) -> bool {
        self.kind != CodeKind::Bytes
    }

    /// The bound of the delta's codes, whose centroid is the origin of the rotated space.
    pub(crate) fn delta_bound(&self) -> Bound {
        if self.kind == CodeKind::Bits {
            return Bound { base: 0.0, slack: 0.0, threshold: f32::INFINITY };
        }
        let norm = self.squared_norm.sqrt();
        let base = if self.metric == Metric::Dot { 0.0 } else { self.squared_norm };
        Bound {
            base: base - FLOAT_ROUNDING * self.squared_norm,
            slack: self.error_bound * norm,
            threshold: f32::INFINITY,
        }
    }

    /// The most that the bound of an item at a distance can be, rounding included: squared euclidean distance in the rotated
    /// space, the negated product, or the distance itself. An item at the very distance of the threshold is no farther.
    pub(crate) fn measure(&self, distance: f32) -> f32 {
        match self.metric {
            Metric::Manhattan | Metric::Hamming => distance,
            // The last for products that are too small for float32.
            Metric::Dot => distance + LIMIT_ROUNDING * distance.abs() + f32::MIN_POSITIVE,
            // An item's squared norm is at most twice the sum of these two.
            Metric::Euclidean => distance * distance + LIMIT_ROUNDING * (distance * distance + self.squared_norm),
            Metric::Cosine => 2.0 * distance + LIMIT_ROUNDING,
        }
    }

    /// The squared euclidean distance in the rotated space, where leaves are ranked, of an item at a distance; `None` where the
    /// one does not follow from the other. Under manhattan it is that of normally distributed differences.
    pub(crate) fn squared_distance(&self, distance: f32) -> Option<f32> {
        match self.metric {
            Metric::Dot => None,
            Metric::Manhattan => Some(distance * distance * FRAC_PI_2 / self.vector.len() as f32),
            Metric::Euclidean => Some(distance * distance),
            Metric::Cosine => Some(2.0 * distance),
            Metric::Hamming => Some(distance),
        }
    }

    /// The exact distance of an item from its own components, which are as many as the query's.
    pub(crate) fn distance(&self, kernels: &Kernels, components: Components<'_>, inverse_norm: f32) -> f32 {
        match components {
            Components::Floats(vector) => self.distance_of_floats(kernels, vector, inverse_norm),
            Components::Bits(packed) => kernels.hamming(&self.packed, packed) as f32,
            Components::Halves { scale, halves } => {
                let pieces = halves.chunks(PIECE);
                let widen = |halves: &[u16], out: &mut [f32]| kernels.widen_halves(halves, scale, out);
                self.finish(self.sum_of_pieces(kernels, pieces, widen), inverse_norm)
            }
            Components::Bytes { least, step, bytes } => {
                let pieces = bytes.chunks(PIECE);
                let widen = |bytes: &[u8], out: &mut [f32]| kernels.widen_bytes(bytes, least, step, out);
                self.finish(self.sum_of_pieces(kernels, pieces, widen), inverse_norm)
            }
        }
    }

    fn distance_of_floats(&self, kernels: &Kernels, vector: &[f32], inverse_norm: f32) -> f32 {
        self.finish(self.sum(kernels, &self.vector, vector), inverse_norm)
    }

    /// What a distance is made of, for any part of the components.
    fn sum(&self, kernels: &Kernels, query: &[f32], vector: &[f32]) -> f32 {
        match self.metric {
            Metric::Dot | Metric::Cosine => kernels.dot(query, vector),
            Metric::Euclidean => kernels.squared_euclidean(query, vector),
            // Of components 0 and 1: whole numbers, exact.
            Metric::Manhattan | Metric::Hamming => kernels.manhattan(query, vector),
        }
    }

    /// The sum over a rounded vector, widened piece by piece.
    fn sum_of_pieces<'c, T: 'c>(
        &self,
        kernels: &Kernels,
        pieces: impl Iterator<Item = &'c [T]>,
        widen: impl Fn(&[T], &mut [f32]),
    ) -> f32 {
        let mut widened = [0.0; PIECE];
        let sums = self.vector.chunks(PIECE).zip(pieces).map(|(query, piece)| {
            let widened = &mut widened[..piece.len()];
            widen(piece, widened);
            self.sum(kernels, query, widened)
        });
        sums.sum()
    }

    /// The distance that a sum stands for.
    fn finish(&self, sum: f32, inverse_norm: f32) -> f32 {
        match self.metric {
            // Not the negated sum: the distance of what is orthogonal has one zero, for equal distances are told by their bits.
            Metric::Dot => 0.0 - sum,
            Metric::Euclidean => sum.sqrt(),
            Metric::Cosine => (1.0 - sum * (self.inverse_norm * inverse_norm)).clamp(0.0, 2.0),
            Metric::Manhattan | Metric::Hamming => sum,
        }
    }
}
