//! The CPU time of this process, in user and system mode, of all its threads.

use std::time::Duration;

/// What the process has used so far; `None` where the system has no clock for it.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub(crate) fn process_cpu_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// What the process has used so far; `None` where the system has no clock for it.
#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
pub(crate) fn process_cpu_time() -> Option<Duration> {
    None
}

/// Wall and CPU time since a moment.
pub(crate) struct Stopwatch {
    wall: std::time::Instant,
    cpu: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch { wall: std::time::Instant::now(), cpu: process_cpu_time() }
    }

    pub(crate) fn wall(&self) -> Duration {
        self.wall.elapsed()
    }

    pub(crate) fn cpu(&self) -> Option<Duration> {
        process_cpu_time().zip(self.cpu).map(|(now, start)| now.saturating_sub(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn work_takes_cpu_time_and_it_is_less_than_wall_time_on_every_core() {
        let watch = Stopwatch::start();
        let mut sum = 0_u64;
        while watch.wall() < Duration::from_millis(30) {
            sum = std::hint::black_box(sum + 1);
        }
        let cores = std::thread::available_parallelism().unwrap().get() as u32;
        let cpu = watch.cpu().unwrap();
        assert!(cpu > Duration::ZERO, "{cpu:?}");
        assert!(cpu <= watch.wall() * cores.max(2), "{cpu:?} of {:?}", watch.wall());
    }
}
