#include "notify/mailbox.h"

#include <gtest/gtest.h>

namespace wattd::notify {
namespace {

using namespace std::chrono_literals;

struct MailboxTest : testing::Test {
  void use(Manners manners) { box = Mailbox(manners, Calendar()); }
  Moment moment() const { return {now, mono}; }
  void pass(std::chrono::microseconds time) { now += time, mono += time; }
  void add(const std::string& id, const std::string& to = "a", Severity severity = Severity::medium) {
    box.add({.id = id, .recipient = to, .created_at = now}, severity, moment());
  }
  /// The ids that go out now; they arrive, unless `arrives` is false.
  std::string take(bool arrives = true, std::optional<std::chrono::seconds> after = {}) {
    auto batch = box.take(moment());
    if (!batch) return "";
    std::string ids;
    for (auto& one : *batch) ids += one.id, one.attempts += 1;
    if (arrives) box.settle(*batch);
    else box.put_back(std::move(*batch), after, moment());
    return ids;
  }

  Timestamp now = from_unix_us(1'770'463'560'000'000);  // 2026-02-07 11:26 UTC
  Instant mono{1h};
  Mailbox box{{}, Calendar()};
};

TEST_F(MailboxTest, a_few_go_at_once_and_then_all_that_has_gathered) {
  for (const auto* id : {"1", "2", "3"}) {
    add(id);
    EXPECT_EQ(take(), id);
  }
  for (int i = 0; i < 100; ++i) add("x"), pass(100ms);
  EXPECT_EQ(take(), "");
  EXPECT_EQ(box.size(), 100u);
  EXPECT_LE(box.next(moment()), mono + 60s);
  pass(51s);
  EXPECT_EQ(take().size(), 100u);
  add("y");
  EXPECT_EQ(take(), "");
}

TEST_F(MailboxTest, recipients_are_counted_one_by_one) {
  use({.burst = 1});
  add("1", "a");
  add("2", "b");
  EXPECT_EQ(take(), "1");
  EXPECT_EQ(take(), "2");
  add("3", "a");
  EXPECT_EQ(take(), "");
}

TEST_F(MailboxTest, what_fails_is_tried_ever_more_slowly_and_stays_first) {
  use({.first_pause = 10s, .longest_pause = 40s});
  add("1");
  std::vector<double> pauses;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(take(false), "1");
    const auto next = box.next(moment());
    pauses.push_back(std::chrono::duration<double>(next - mono).count());
    mono = next;
  }
  for (const auto& [pause, expected] : {std::pair(pauses[0], 10), {pauses[1], 20}, {pauses[2], 40}, {pauses[4], 40}})
    EXPECT_NEAR(pause, expected, expected * 0.2 + 0.01);
  add("2");
  EXPECT_EQ(take(), "12") << "and what has come meanwhile goes with it";
  add("3");
  EXPECT_EQ(take(), "3") << "all is well again";
}

TEST_F(MailboxTest, a_provider_that_asks_for_time_gets_it) {
  add("1");
  take(false, 300s);
  pass(299s);
  EXPECT_EQ(take(), "");
  pass(2s);
  EXPECT_EQ(take(), "1");
}

TEST_F(MailboxTest, what_nobody_takes_for_a_day_is_given_up) {
  use({.give_up = 24h});
  add("1");
  take(false);
  pass(23h);
  EXPECT_TRUE(box.take_given_up(moment()).empty());
  add("2");
  pass(2h);
  const auto old = box.take_given_up(moment());
  ASSERT_EQ(old.size(), 1u);
  EXPECT_EQ(old[0].id, "1");
  EXPECT_EQ(take(), "2");
}

TEST_F(MailboxTest, quiet_hours_let_only_the_gravest_through) {
  use({.quiet = hours_from("11:00-12:00")});
  add("m");
  add("C", "a", Severity::critical);
  EXPECT_EQ(take(), "C");
  EXPECT_EQ(take(), "");
  EXPECT_LE(box.next(moment()), mono + 30s) << "the hours are looked at again";
  pass(34min);
  EXPECT_EQ(take(), "m");
}

TEST_F(MailboxTest, nobody_asks_for_years) {
  add("1");
  take(false, 999'999'999s);
  pass(61min);
  EXPECT_EQ(take(), "1");
}

TEST_F(MailboxTest, what_may_have_been_taken_goes_once_more_as_it_was) {
  for (const auto* id : {"1", "2"}) {
    box.add({.id = id, .recipient = "a", .message_id = "m", .attempts = 1, .sending_at = now, .created_at = now},
            Severity::low, moment());
  }
  add("3");
  EXPECT_EQ(take(), "12");
  EXPECT_EQ(take(), "3");
}

TEST_F(MailboxTest, a_restart_takes_up_the_pause) {
  box.add({.id = "1", .recipient = "a", .attempts = 3, .due_at = now + 60s, .created_at = now}, Severity::low,
          moment());
  EXPECT_EQ(take(), "");
  pass(61s);
  EXPECT_EQ(take(), "1");
}

}  // namespace
}  // namespace wattd::notify
