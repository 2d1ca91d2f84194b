//! Device and platform of a `User-Agent`, as far as figures need them: no versions, no makers.
//!
//! A few words decide. What is no browser and no app on a known system says nothing: a server's HTTP library tells
//! where the server sits, not the shopper.

/// `mobile`, `tablet`, `desktop` or `tv`; and `ios`, `android`, or `web` for a browser on anything else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Device {
    pub(super) device: Option<&'static str>,
    pub(super) platform: Option<&'static str>,
}

/// Longer ones are not read to their end.
const LONGEST: usize = 1024;

pub(super) fn of(agent: &str) -> Device {
    let agent = agent.as_bytes().get(..LONGEST.min(agent.len())).unwrap_or_default();
    let agent = String::from_utf8_lossy(agent).to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    let is = |device, platform| Device { device: Some(device), platform: Some(platform) };
    let is_browser = has(&["mozilla/", "opera/"]);

    // Windows phones name Android and iPhone too, and televisions Android: they come first.
    if has(&["windows phone", "iemobile"]) {
        is("mobile", "web")
    } else if has(&[
        "smart-tv",
        "smarttv",
        "hbbtv",
        "web0s",
        "appletv",
        "apple tv",
        "googletv",
        "crkey",
        "android tv",
    ]) || has(&["tizen"]) && has(&[" tv"])
    {
        is("tv", if has(&["android"]) { "android" } else { "web" })
    } else if has(&["ipad"]) {
        is("tablet", "ios")
    } else if has(&["iphone", "ipod"]) {
        is("mobile", "ios")
    } else if has(&["android"]) {
        // A tablet is Android without "Mobile"; apps that use the system's library never say "Mobile".
        let is_tablet = has(&["tablet"]) || is_browser && !has(&["mobile"]);
        is(if is_tablet { "tablet" } else { "mobile" }, "android")
    } else if !is_browser {
        Device::default()
    } else if has(&["tablet", "kindle", "silk/"]) {
        is("tablet", "web")
    } else if has(&["mobile", "opera mini"]) {
        is("mobile", "web")
    } else if has(&["windows", "macintosh", "x11", "cros ", "linux"]) {
        // A newer iPad calls itself a Macintosh; nothing in the text tells them apart.
        is("desktop", "web")
    } else {
        Device::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_browsers_and_apps_are_told_apart() {
        for (agent, device, platform) in [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
                "mobile",
                "ios",
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
                "tablet",
                "ios",
            ),
            ("Shop/3.1 (iPhone; iOS 17.0; Scale/3.00)", "mobile", "ios"),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
                "mobile",
                "android",
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
                "tablet",
                "android",
            ),
            ("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A)", "mobile", "android"),
            (
                "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 Mobile Safari/537.36 Edge/15.15063",
                "mobile",
                "web",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 Edg/120.0",
                "desktop",
                "web",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.2 Safari/605.1.15",
                "desktop",
                "web",
            ),
            (
                "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:121.0) Gecko/20100101 Firefox/121.0",
                "desktop",
                "web",
            ),
            (
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36",
                "desktop",
                "web",
            ),
            (
                "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
                "mobile",
                "web",
            ),
            (
                "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 Version/6.0 TV Safari/537.36",
                "tv",
                "web",
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; Android TV Build/PI) AppleWebKit/537.36 Chrome/90 Safari/537.36",
                "tv",
                "android",
            ),
        ] {
            let found = of(agent);
            assert_eq!((found.device, found.platform), (Some(device), Some(platform)), "{agent}");
        }
    }

    #[test]
    fn what_is_no_shoppers_device_says_nothing() {
        for agent in [
            "",
            "curl/8.5.0",
            "python-requests/2.31.0",
            "node",
            "okhttp/4.12.0",
            "Mozilla/5.0",
            "Java/17 (Linux)",
        ] {
            assert_eq!(of(agent), Device::default(), "{agent}");
        }
        assert_eq!(of(&"ä".repeat(2000)), Device::default());
    }
}
