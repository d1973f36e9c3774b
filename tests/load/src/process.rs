//! CPU time and memory of a process, from the kernel.

use std::time::Duration;

use anyhow::Context;

/// The unit of `/proc/PID/stat`. `USER_HZ` is 100 on every Linux this runs on, whatever the kernel's own HZ.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads so far, in user space and kernel.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path}: the process is gone"))?;
    let ticks = cpu_ticks(&text).with_context(|| format!("{path} is not in the format of proc(5)"))?;
    Ok(TICK * ticks)
}

/// utime + stime, fields 14 and 15. Field 2 is a name that may contain spaces, so counting starts after it.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// Proportional set size in MB (10^6 bytes): a shared page counts in part, divided by the processes that share it.
pub(crate) fn memory_mb(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path}: the process is gone"))?;
    let kib = pss_kib(&text).with_context(|| format!("{path} has no Pss"))?;
    Ok(kib * 1024.0 / 1e6)
}

fn pss_kib(rollup: &str) -> Option<f64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The machine's load average over the last minute.
pub(crate) fn load_average() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    let first = text.split_whitespace().next().unwrap_or_default();
    first.parse().context("/proc/loadavg is not in the format of proc(5)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_after_a_name_with_spaces_and_brackets() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn pss_is_the_total_and_not_one_of_its_parts() {
        let rollup = "00400000-7ffd ---p 00000000 00:00 0 [rollup]\nRss:  9000 kB\nPss:   1234 kB\nPss_Dirty:  10 kB\n";
        assert_eq!(pss_kib(rollup), Some(1234.0));
        assert_eq!(pss_kib("Pss_Dirty: 10 kB\n"), None);
    }

    #[test]
    fn this_very_process_has_both() {
        assert!(memory_mb(std::process::id()).unwrap() > 0.5);
        assert!(cpu(std::process::id()).is_ok());
    }
}
