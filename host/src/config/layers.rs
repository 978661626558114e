//! What `[vault.<id>]` says of the layers around a store: the host takes these keys for itself.

use std::fmt::Display;
use std::time::Duration;

use strongroom_backend_layers::{BreakerSettings, CacheSettings, Layers, RetrySettings};
use toml::de::DeValue;

use super::reader::{At, Section, quoted, section};
use super::units::{UnitError, parse_duration, parse_size};

/// Keys of `[vault.<id>]` that no backend sees.
pub(super) const OURS: [&str; 8] = [
    "backend", "cache", "canary", "deadline", "retry", "breaker", "fields", "sync",
];

/// A shorter deadline would fail calls that a service answers on a good day.
const LEAST_DEADLINE: Duration = Duration::from_millis(100);
/// A guest that waits longer has long been given up by whoever called it.
pub(super) const MOST_DEADLINE: Duration = Duration::from_secs(300);
/// Older values are not a cache any more: that is what `sync` is for.
const MOST_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A name that is missing for longer would have to be made twice by whoever makes it.
const MOST_MISSING: Duration = Duration::from_secs(60 * 60);
const LEAST_SIZE: u64 = 64 << 10;
const MOST_SIZE: u64 = 1 << 30;
const MOST_ATTEMPTS: u64 = 10;
const MOST_FAILURES: u64 = 1000;

/// Reads the layers of a store that is across a network; what is wrong is reported.
pub(super) fn layers(outer: &mut Section<'_, '_>) -> Layers {
    Layers {
        deadline: deadline(outer),
        retry: retry(outer),
        breaker: breaker(outer),
        cache: cache(outer),
    }
}

/// Takes `deadline`.
pub(super) fn deadline(outer: &mut Section<'_, '_>) -> Duration {
    duration(outer, "deadline", LEAST_DEADLINE..=MOST_DEADLINE).unwrap_or(Layers::DEADLINE)
}

/// Refuses what would do nothing: silence would look like a cache.
pub(super) fn refuse(outer: &mut Section<'_, '_>, keys: &[&'static str], why: &str) {
    for key in keys {
        if let Some(value) = outer.any(key) {
            let message = || format!("'{key}' has no use here: {why}");
            outer.reader.report(&value.span(), message);
        }
    }
}

fn cache(outer: &mut Section<'_, '_>) -> Option<CacheSettings> {
    let default = CacheSettings::default();
    let value = match outer.any("cache") {
        None => return Some(default),
        Some(value) if matches!(value.get_ref(), DeValue::Boolean(false)) => return None,
        Some(value) => value,
    };
    let Some(mut inner) = section(outer.reader, format!("{}.cache", outer.name()), value) else {
        return Some(default);
    };
    let kept = Duration::ZERO..=MOST_KEPT;
    let ttl = duration(&mut inner, "ttl", kept.clone());
    let max_stale = duration(&mut inner, "max-stale", kept);
    let missing = Duration::ZERO..=MOST_MISSING;
    let negative_ttl = duration(&mut inner, "negative-ttl", missing);
    let size = unit(&mut inner, "size", parse_size);
    let size = within(
        &inner,
        "size",
        size,
        LEAST_SIZE..=MOST_SIZE,
        "64 KiB to 1 GiB",
    );
    inner.finish();
    // A value that is never taken for current is kept only for an outage, if somebody asks for that.
    if ttl == Some(Duration::ZERO) && max_stale.is_none() {
        return None;
    }
    Some(CacheSettings {
        ttl: ttl.unwrap_or(default.ttl),
        max_stale: max_stale.unwrap_or(default.max_stale),
        negative_ttl: negative_ttl.unwrap_or(default.negative_ttl),
        max_bytes: size
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(default.max_bytes),
    })
}

fn retry(outer: &mut Section<'_, '_>) -> RetrySettings {
    let default = RetrySettings::default();
    let Some(mut inner) = outer.section("retry") else {
        return default;
    };
    let attempts = count(&mut inner, "attempts", 1..=MOST_ATTEMPTS);
    let percent = count(&mut inner, "budget", 0..=100);
    inner.finish();
    RetrySettings {
        attempts: attempts.unwrap_or(default.attempts),
        percent: percent.unwrap_or(default.percent),
        ..default
    }
}

fn breaker(outer: &mut Section<'_, '_>) -> BreakerSettings {
    let default = BreakerSettings::default();
    let Some(mut inner) = outer.section("breaker") else {
        return default;
    };
    let failures = count(&mut inner, "failures", 1..=MOST_FAILURES);
    let pause = duration(&mut inner, "pause", LEAST_DEADLINE..=MOST_DEADLINE);
    inner.finish();
    BreakerSettings {
        failures: failures.unwrap_or(default.failures),
        pause: pause.unwrap_or(default.pause),
    }
}

/// Takes a text with a unit.
pub(super) fn unit<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    parse: fn(&str) -> Result<T, UnitError>,
) -> Option<At<T>> {
    let text = section.string(key)?;
    let report = |error| {
        let message = || format!("'{key}': {error}");
        section.reader.report(&text.span, message);
    };
    let value = parse(text.value).map_err(report).ok()?;
    Some(At {
        value,
        span: text.span,
    })
}

/// Takes a duration within bounds.
pub(super) fn duration(
    section: &mut Section<'_, '_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<Duration>,
) -> Option<Duration> {
    let told = format!("{:?} to {:?}", bounds.start(), bounds.end());
    let value = unit(section, key, parse_duration);
    within(section, key, value, bounds, told)
}

fn count(
    section: &mut Section<'_, '_>,
    key: &'static str,
    bounds: std::ops::RangeInclusive<u64>,
) -> Option<u32> {
    let told = format!("{} to {}", bounds.start(), bounds.end());
    let value = section.integer(key);
    within(section, key, value, bounds, told).and_then(|n| u32::try_from(n).ok())
}

fn within<T: PartialOrd>(
    section: &Section<'_, '_>,
    key: &str,
    value: Option<At<T>>,
    bounds: std::ops::RangeInclusive<T>,
    told: impl Display,
) -> Option<T> {
    let At { value, span } = value?;
    if bounds.contains(&value) {
        return Some(value);
    }
    let message = || format!("{} must be from {told}", quoted(key));
    section.reader.report(&span, message);
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use strongroom_backend::VaultId;

    use super::*;
    use crate::config::{Backends, Config};

    fn read(settings: &str) -> Result<Layers, String> {
        let backends = Backends::new(["memory"]).with_remote(["cloud"]);
        let text = format!("[vault.a]\nbackend = 'cloud'\n{settings}");
        let config = Config::parse(text.as_bytes(), Path::new("/etc/s.toml"), &backends);
        let config = config.map_err(|error| error.to_string())?;
        Ok(config.vaults[&VaultId::parse("a").unwrap()].layers.unwrap())
    }

    #[test]
    fn the_size_of_a_cache_is_what_the_file_says() {
        let size = |settings: &str| read(settings).unwrap().cache.unwrap().max_bytes;
        assert_eq!(size(""), CacheSettings::default().max_bytes);
        assert_eq!(
            size("cache = { ttl = '1m' }"),
            CacheSettings::default().max_bytes
        );
        for (text, bytes) in [
            ("64 KiB", 64 << 10),
            ("10 MB", 10_000_000),
            ("1 GiB", 1 << 30),
        ] {
            assert_eq!(size(&format!("cache = {{ size = '{text}' }}")), bytes);
        }
        let told = "3:18: 'size' must be from 64 KiB to 1 GiB";
        for wrong in ["65535 B", "1073741825 B"] {
            let refused = read(&format!("cache = {{ size = '{wrong}' }}")).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
        let refused = read("cache = { size = '1' }").unwrap_err();
        assert!(refused.contains("'size': a size is"), "{refused}");
    }
}
