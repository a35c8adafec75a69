//! Metrics of the process, under the names of Prometheus' own clients.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

/// Read at each scrape. Exports nothing if there is no `/proc`.
#[derive(Debug)]
pub(super) struct Process;

#[cfg(not(target_os = "linux"))]
impl Collector for Process {
    fn encode(&self, _: DescriptorEncoder) -> fmt::Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl Collector for Process {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        use procfs::process::{self, LimitValue};
        use prometheus_client::encoding::EncodeMetric;
        use prometheus_client::metrics::counter::ConstCounter;
        use prometheus_client::metrics::gauge::ConstGauge;

        let Ok(process) = process::Process::myself() else { return Ok(()) };
        let mut show = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        if let Ok(stat) = process.stat() {
            let per_second = procfs::ticks_per_second() as f64;
            let cpu = ConstCounter::new((stat.utime + stat.stime) as f64 / per_second);
            show("process_cpu_seconds", "CPU time of all threads.", &cpu)?;
            let resident = ConstGauge::new((stat.rss * procfs::page_size()) as f64);
            show("process_resident_memory_bytes", "Memory of the process in RAM.", &resident)?;
            show("process_threads", "Threads of the process.", &ConstGauge::new(stat.num_threads))?;
            if let Ok(boot) = procfs::boot_time_secs() {
                let started = ConstGauge::new(boot as f64 + stat.starttime as f64 / per_second);
                let help = "Start of the process, in seconds since 1970.";
                show("process_start_time_seconds", help, &started)?;
            }
        }
        if let Ok(fds) = process.fd_count() {
            show("process_open_fds", "Open file descriptors.", &ConstGauge::new(fds as f64))?;
        }
        let limit = process.limits().map(|limits| limits.max_open_files.soft_limit);
        if let Ok(LimitValue::Value(limit)) = limit {
            let help = "Limit of open file descriptors.";
            show("process_max_fds", help, &ConstGauge::new(limit as f64))?;
        }
        Ok(())
    }
}
