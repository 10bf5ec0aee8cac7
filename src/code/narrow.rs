//! Codes of half a byte a component of residuals, for vectors of few components.
//!
//! Signs are kept of as many components as the padded space has, 64 at least: of few components, half bytes say more in as
//! many bits. Residuals are taken in the narrow space, which is rotated as the padded one is. A code's half byte j stands for
//! u = 2 j - 15 of steps of its own; the factors are those of signs, with u in the place of the signs.

use super::frame::Frame;
use super::items::CodedItem;
use super::kind::CodeKind;
use super::short::{self, CodeSums, Filled, ShortRun};
use crate::distance::{LANES, codes_bytes, set_bits};

/// The largest u.
const LARGEST: f32 = 15.0;

/// Shares of the largest component that the largest u is tried for: what is beyond is coded as that, and the rest finer.
const SHARES: [f32; 6] = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5];

/// A run of items, and the largest norm of a residual.
pub(super) fn encode<'v>(
    frame: &Frame,
    run: ShortRun<'_>,
    items: impl ExactSizeIterator<Item = CodedItem<'v>>,
) -> (Vec<u8>, f32) {
    let components = frame.narrow();
    let kind = CodeKind::Narrow(components as u8);
    let block_bytes = codes_bytes(kind.bits(components));
    short::assemble(kind, run, items.len(), |codes, factors| {
        let mut centroid = vec![0.0; components];
        let outside = frame.narrow_of(run.centroid.values(), &mut centroid);
        let mut residual = vec![0.0; components];
        let mut code = vec![0; components / 2];
        let mut sums = Vec::with_capacity(items.len());
        for (at, item) in items.enumerate() {
            debug_assert_eq!(item.payload as usize, run.first as usize + at, "items numbered in a row");
            frame.place_narrow(item.vector, frame.inverse_norm(item.vector), &mut residual);
            residual.iter_mut().zip(&centroid).for_each(|(component, centroid)| *component -= centroid);
            sums.push(encode_residual(&residual, &centroid, &mut code));
            set_bits(&mut codes[at / LANES * block_bytes..][..block_bytes], at % LANES, &code);
        }
        let squared = sums.iter().fold(0.0, |most: f64, sums| most.max(sums.squared));
        let scale = short::put_factors(frame.metric(), &sums, components, outside, factors);
        Filled { scale, radius: (squared + outside).sqrt() as f32, error_share: 0.0 }
    })
}

/// Writes the code of a residual, two components a byte, the first in the lower half: of several steps, the one whose
/// vector has the most of the residual's direction.
fn encode_residual(residual: &[f32], centroid: &[f32], code: &mut [u8]) -> CodeSums {
    let squared = residual.iter().map(|&component| f64::from(component) * f64::from(component)).sum();
    let largest = residual.iter().fold(0f32, |largest, component| largest.max(component.abs()));
    let per_step = |share: f32| LARGEST / (largest * share);
    let agreement = |&share: &f32| {
        let (mut product, mut code_squared) = (0f32, 0f32);
        for &component in residual {
            let u = steps(component, per_step(share));
            product += component * u;
            code_squared += u * u;
        }
        product / code_squared.sqrt()
    };
    let best = SHARES.iter().max_by(|a, b| agreement(a).total_cmp(&agreement(b))).copied().unwrap_or(1.0);
    let mut sums = CodeSums { squared, product: 0.0, code_squared: 0.0, code_centroid: 0.0 };
    code.fill(0);
    for (at, (&component, &centroid)) in residual.iter().zip(centroid).enumerate() {
        let u = steps(component, per_step(best));
        sums.product += f64::from(component) * f64::from(u);
        sums.code_squared += f64::from(u) * f64::from(u);
        sums.code_centroid += f64::from(u) * f64::from(centroid);
        code[at / 2] |= (((u + LARGEST) * 0.5) as u8) << (4 * (at % 2));
    }
    sums
}

/// The odd number from -15 to 15 that is nearest to a component in steps. What is not a number counts as the least.
fn steps(component: f32, per_step: f32) -> f32 {
    let code = ((component * per_step + LARGEST) * 0.5).round().clamp(0.0, LARGEST);
    if code.is_nan() { -LARGEST } else { 2.0 * code - LARGEST }
}
