//! Which kernels run: detected once, and never a set that the processor lacks.

use std::sync::OnceLock;

use super::{Kernels, portable, scalar};

/// The variable that forces a set by name.
const VARIABLE: &str = "UNDERSTORY_KERNEL";

/// The sets that this processor has, slowest first.
pub(crate) fn available() -> Vec<&'static Kernels> {
    [&scalar::KERNELS, &portable::KERNELS].into_iter().chain(detected()).collect()
}

#[cfg(target_arch = "x86_64")]
fn detected() -> impl Iterator<Item = &'static Kernels> {
    use super::x86_64::{avx2, avx512, avx512vnni, ssse3};
    [ssse3(), avx2(), avx512(), avx512vnni()].into_iter().flatten()
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> impl Iterator<Item = &'static Kernels> {
    std::iter::empty()
}

/// The kernels of this processor, or those that the variable names.
pub(crate) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| choose(&available(), std::env::var(VARIABLE).ok().as_deref()))
}

/// The set of a name, or the last one. A name that is unknown or unavailable is ignored: results are the same with
/// any set, and an application must not fail because of a variable left over from another machine.
pub(super) fn choose(sets: &[&'static Kernels], name: Option<&str>) -> &'static Kernels {
    let named = name.and_then(|name| sets.iter().find(|set| set.name == name));
    named.or(sets.last()).copied().unwrap_or(&scalar::KERNELS)
}
