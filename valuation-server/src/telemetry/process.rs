//! The process as the kernel sees it, under the names that Prometheus' own clients use.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

#[cfg(target_os = "linux")]
use super::metrics::{counter, gauge};

/// Read at each scrape. Where there is no `/proc`, it shows nothing.
#[derive(Debug)]
pub(super) struct Process;

#[cfg(not(target_os = "linux"))]
impl Collector for Process {
    fn encode(&self, _: DescriptorEncoder) -> std::fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl Collector for Process {
    #[expect(clippy::cast_precision_loss, reason = "figures to look at")]
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let Ok(process) = procfs::process::Process::myself() else { return Ok(()) };
        if let Ok(stat) = process.stat() {
            let per_second = procfs::ticks_per_second() as f64;
            let seconds = (stat.utime + stat.stime) as f64 / per_second;
            let help = "CPU time that the process has taken, in all its threads.";
            counter(&mut encoder, "process_cpu_seconds", help, seconds)?;
            let bytes = stat.rss * procfs::page_size();
            let help = "Memory of the process that is in RAM.";
            gauge(&mut encoder, "process_resident_memory_bytes", help, bytes as f64)?;
            let threads = stat.num_threads as f64;
            gauge(&mut encoder, "process_threads", "Threads of the process.", threads)?;
            if let Ok(boot) = procfs::boot_time_secs() {
                let started = boot as f64 + stat.starttime as f64 / per_second;
                let help = "When the process was started, in seconds since 1970.";
                gauge(&mut encoder, "process_start_time_seconds", help, started)?;
            }
        }
        if let Ok(fds) = process.fd_count() {
            gauge(&mut encoder, "process_open_fds", "Open file descriptors.", fds as f64)?;
        }
        let most = process.limits().map(|limits| limits.max_open_files.soft_limit);
        if let Ok(procfs::process::LimitValue::Value(most)) = most {
            let help = "The most file descriptors that may be open.";
            gauge(&mut encoder, "process_max_fds", help, most as f64)?;
        }
        Ok(())
    }
}
