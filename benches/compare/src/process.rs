//! What this process has used: CPU time of all its threads, and memory where the system tells.

/// CPU seconds of all threads since the process began.
pub(crate) fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Bytes of memory, 0 where the system does not say.
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The part that no file backs.
    pub(crate) anonymous: u64,
    pub(crate) peak: u64,
}

pub(crate) fn memory() -> Memory {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Memory { resident: field("VmRSS"), anonymous: field("RssAnon"), peak: field("VmHWM") }
}

/// Lets the peak begin at what is resident now, where the system can do it.
pub(crate) fn forget_peak() {
    let _: std::io::Result<()> = std::fs::write("/proc/self/clear_refs", "5");
}
