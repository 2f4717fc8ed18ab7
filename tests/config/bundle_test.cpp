#include "config/bundle.h"

#include <gtest/gtest.h>

namespace wattd::config {
namespace {

// Made for this test alone, with openssl genpkey -algorithm ed25519.
const std::string kPrivate =
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIO0aGWesmoiMOI/ATL9GZ8nhT/tFPzlPmvZcqhjVUV9j\n-----END PRIVATE "
    "KEY-----\n";
const std::string kPublic =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAdseAYjDYGbtY7HhHvYBxADnOGThc/teoJJCNqOwQzQc=\n-----END PUBLIC "
    "KEY-----\n";
const std::string kOther =
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAfjwIR0zMmxzkdIqFENqlKPptnPmSKj3uyYWdf91Hx6U=\n-----END PUBLIC "
    "KEY-----\n";

const Bundle kBundle{.serial = 7,
                     .gateways = {"6f1c", "*"},
                     .expires = from_unix_us(1'798'761'600'000'000),
                     .files = {{"conf.d/50-plant.toml", "[site]\nzone = \"Asia/Kolkata\"\n"},
                               {"profiles/acme.toml", std::string("a\0b\nsignature x\n", 15)}}};

TEST(BundleTest, comes_back_as_it_was_sealed) {
  const auto sealed = seal_bundle(kBundle, kPrivate);
  ASSERT_TRUE(sealed) << sealed.error().message;
  const auto opened = open_bundle(*sealed, kPublic);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(*opened, kBundle);
  EXPECT_TRUE(opened->is_for("anybody"));
}

TEST(BundleTest, nothing_of_it_can_be_changed) {
  const auto sealed = *seal_bundle(kBundle, kPrivate);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    auto changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    const auto opened = open_bundle(changed, kPublic);
    // The last letters of base64 have bits that mean nothing.
    if (i < sealed.size() - 5) {
      EXPECT_FALSE(opened) << i;
    } else if (opened) {
      EXPECT_EQ(*opened, kBundle);
    }
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) EXPECT_FALSE(open_bundle(sealed.substr(0, size), kPublic));
  EXPECT_FALSE(open_bundle(sealed + "x", kPublic));
  EXPECT_NE(open_bundle(sealed, kOther).error().message.find("not signed with the key"), std::string::npos);
  EXPECT_NE(open_bundle(sealed, "no key").error().message.find("no Ed25519 key"), std::string::npos);
}

TEST(BundleTest, names_stay_below_their_directories) {
  for (const auto* path : {"conf.d/../../wattd.toml", "/etc/passwd", "conf.d/.hidden.toml", "conf.d/a.txt",
                           "wattd.toml", "conf.d/", "conf.d/a/b.toml", "profiles/\n.toml", "conf.d/.toml"}) {
    auto bundle = kBundle;
    bundle.files = {{path, ""}};
    const auto sealed = seal_bundle(bundle, kPrivate);
    EXPECT_FALSE(sealed) << path;
  }
  auto bundle = kBundle;
  bundle.files = {{"profiles/b.toml", ""}, {"profiles/a.toml", ""}};
  EXPECT_FALSE(seal_bundle(bundle, kPrivate)) << "one order alone, so that none stands there twice";
  bundle.serial = 0;
  bundle.files = {};
  EXPECT_FALSE(seal_bundle(bundle, kPrivate));
}

}  // namespace
}  // namespace wattd::config
