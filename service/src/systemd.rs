//! Messages to the service manager (`sd_notify`). Without systemd they have no effect.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// Reports that the service answers.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the service is stopping. It has `TimeoutStopSec` from then on.
pub fn stopping(status: &str) {
    notify(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Reports that files are being read again. Call [`ready`] when that is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock cannot be read, systemd is not told"),
    }
}

/// Reports a line of text for `systemctl status`.
pub fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Tells systemd that the service lives, twice in each `WatchdogSec`, as long as `is_healthy` says so. Returns at once
/// if no watchdog waits for it, and otherwise never.
pub async fn feed_watchdog(is_healthy: impl Fn() -> bool) {
    let Some(timeout) = watchdog() else {
        return;
    };
    let mut ticks = interval(timeout / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if is_healthy() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Returns the time after which systemd stops a service without a sign of life.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero())
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told the state of the service");
    }
}
