// The storage room by itself, driven with seeded signals. Each command prints one JSON object; bench/storage.py says
// what they mean.
#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>

#include "bench/storage/signals.h"
#include "storage/integers.h"
#include "storage/reader.h"
#include "storage/reals.h"
#include "storage/space.h"
#include "storage/store.h"

namespace wattd::bench {
namespace {

using namespace std::chrono_literals;
using storage::written_bytes;

struct Arguments {
  std::string directory, signals = "d1_5s", file;
  std::uint64_t seed = 1;
  double days = 1, commit_seconds = 1;
  std::int64_t ring = 256 << 20;
  std::int64_t start = 1'767'225'600;  ///< 2026-01-01T00:00:00Z
  bool lagging = false;                ///< A sink that never takes anything, so that the ring stays full.
};

Timestamp start_of(const Arguments& arguments) { return from_unix_us(arguments.start * 1'000'000); }

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double resident_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

std::int64_t bytes_in(const std::string& directory) {
  std::int64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().filename() != "ballast") bytes += static_cast<std::int64_t>(entry.file_size());
  }
  return bytes;
}

storage::Options options(const Arguments& arguments) {
  return {.directory = arguments.directory,
          .ring_bytes = arguments.ring,
          .database_bytes = INT64_C(64) << 30,
          .raw_retention = std::chrono::days{36'500},
          .backups = 0};
}

void settle(storage::Store& store, Timestamp now) {
  while (true) {
    const auto more = store.maintain(now);
    if (!more) throw std::runtime_error(more.error().message);
    if (!*more) return;
  }
}

std::size_t samples_in(const storage::Group& group) {
  std::size_t samples = 0;
  for (const auto& reading : group.readings) samples += reading.fields.size();
  return samples;
}

/// Commits the signals as the daemon would, maintenance included. Time is the signals' own.
void fill(const Arguments& arguments) {
  const auto signals = make_signals(arguments.signals, arguments.seed, arguments.file, start_of(arguments));
  storage::Store store(options(arguments));
  if (arguments.lagging) store.set_sinks({"lagging"});
  const auto ticks =
      static_cast<std::int64_t>(arguments.days * 86'400e6 / static_cast<double>(signals->interval().count()));
  const auto per_commit = std::max<std::int64_t>(
      1, std::llround(arguments.commit_seconds * 1e6 / static_cast<double>(signals->interval().count())));
  storage::Group group{.devices = signals->devices()};
  std::int64_t samples = 0;
  std::int64_t commits = 0;
  const auto written = written_bytes();
  const auto began = seconds();
  Timestamp now;
  for (std::int64_t tick = 0; tick < ticks;) {
    for (std::int64_t i = 0; i < per_commit && tick < ticks; ++i) signals->next(tick++, group.readings);
    now = group.readings.back().at;
    samples += static_cast<std::int64_t>(samples_in(group));
    if (const auto done = store.commit(group); !done) throw std::runtime_error(done.error().message);
    group = {};
    ++commits;
    settle(store, now);
  }
  const auto took = seconds() - began;
  settle(store, now + 1h);
  const auto& usage = store.usage();
  fmt::print(R"({{"samples":{},"commits":{},"seconds":{:.3f},"written":{},"bytes":{},"wal":{},"ring":{},"segments":{},)"
             R"("resident_mb":{:.1f}}})"
             "\n",
             samples, commits, took, written_bytes() - written, bytes_in(arguments.directory), usage.wal_bytes,
             usage.ring_bytes, usage.segments, resident_mb());
}

/// The same samples as rows of a plain table, one transaction a commit.
void rows(const Arguments& arguments) {
  const auto signals = make_signals(arguments.signals, arguments.seed, arguments.file, start_of(arguments));
  std::filesystem::create_directories(arguments.directory);
  storage::Database database(arguments.directory + "/rows.db", storage::Database::Mode::writer);
  database.execute("PRAGMA journal_mode=WAL");
  database.execute("PRAGMA synchronous=FULL");
  database.execute("CREATE TABLE samples (series_id INTEGER, at INTEGER, value REAL)");
  storage::Statement insert(database, "INSERT INTO samples VALUES (?,?,?)");
  const auto ticks =
      static_cast<std::int64_t>(arguments.days * 86'400e6 / static_cast<double>(signals->interval().count()));
  const auto per_commit = std::max<std::int64_t>(
      1, std::llround(arguments.commit_seconds * 1e6 / static_cast<double>(signals->interval().count())));
  std::map<std::string, std::int64_t> series;
  std::vector<Reading> readings;
  std::int64_t samples = 0;
  const auto written = written_bytes();
  for (std::int64_t tick = 0; tick < ticks;) {
    readings.clear();
    for (std::int64_t i = 0; i < per_commit && tick < ticks; ++i) signals->next(tick++, readings);
    storage::Transaction transaction(database);
    for (const auto& reading : readings) {
      for (const auto& field : reading.fields) {
        const auto id = series.emplace(reading.device_id + "/" + field.name, std::ssize(series)).first->second;
        insert.bind(id).bind(reading.at).bind(std::get<double>(field.value)).run();
        ++samples;
      }
    }
    transaction.commit();
    if (database.log_pages() >= 1000) database.checkpoint_passively();  // SQLite's own default
  }
  fmt::print(R"({{"samples":{},"written":{},"bytes":{}}})"
             "\n",
             samples, written_bytes() - written, bytes_in(arguments.directory));
}

/// Line protocol on standard output, stamps in microseconds.
void lines(const Arguments& arguments) {
  const auto signals = make_signals(arguments.signals, arguments.seed, arguments.file, start_of(arguments));
  const auto ticks =
      static_cast<std::int64_t>(arguments.days * 86'400e6 / static_cast<double>(signals->interval().count()));
  std::vector<Reading> readings;
  for (std::int64_t tick = 0; tick < ticks; ++tick) {
    readings.clear();
    signals->next(tick, readings);
    std::string text;
    for (const auto& reading : readings) {
      if (reading.fields.empty()) continue;
      text += fmt::format("telemetry,device={} ", reading.device_id);
      for (const auto& field : reading.fields)
        text += fmt::format("{}{}={}", text.back() == ' ' ? "" : ",", field.name, std::get<double>(field.value));
      text += fmt::format(" {}\n", to_unix_us(reading.at));
    }
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
}

/// Groups of 1,000 samples of 1,000 series, as fast as they go; readings are made before the clock runs.
void ingest(const Arguments& arguments) {
  const auto signals = make_signals("series_1000", arguments.seed, "", start_of(arguments));
  storage::Store store(options(arguments));
  if (arguments.lagging) store.set_sinks({"lagging"});
  storage::Group first{.devices = signals->devices()};
  if (!store.commit(first)) throw std::runtime_error("no commit");
  std::int64_t samples = 0;
  double took = 0;
  Timestamp newest{};
  constexpr std::int64_t kPrepared = 50;
  const auto ticks = static_cast<std::int64_t>(arguments.days * 86'400);
  for (std::int64_t tick = 0; tick < ticks; tick += kPrepared) {
    std::vector<storage::Group> groups(kPrepared);
    for (std::int64_t i = 0; i < kPrepared; ++i) signals->next(tick + i, groups[static_cast<std::size_t>(i)].readings);
    const auto began = seconds();
    for (auto& group : groups) {
      samples += static_cast<std::int64_t>(samples_in(group));
      if (const auto done = store.commit(group); !done) throw std::runtime_error(done.error().message);
      // As the pipeline does between two groups; what is left of a round's work goes on beside the next ones.
      if (const auto more = store.maintain(group.readings.back().at); !more)
        throw std::runtime_error(more.error().message);
      newest = group.readings.back().at;
    }
    took += seconds() - began;
  }
  const auto began = seconds();
  settle(store, newest);
  took += seconds() - began;
  fmt::print(R"({{"samples":{},"seconds":{:.3f},"per_second":{:.0f},"resident_mb":{:.1f},"ring":{},"segments":{}}})"
             "\n",
             samples, took, static_cast<double>(samples) / took, resident_mb(), store.usage().ring_bytes,
             store.usage().segments);
}

void drop_from_cache(const std::string& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

/// One series: seven days by the minute and 90 days by the hour, up to the last reading.
void query(const Arguments& arguments) {
  const auto path = arguments.directory + "/wattd.db";
  const Series series{arguments.file, "power_total"};
  const auto run = [&](storage::Reader& reader, std::chrono::hours back, storage::Step step) {
    const auto newest = reader.latest(series.device_id);
    const auto now = newest.value().front().sample.at + 1us;
    const auto began = seconds();
    const auto buckets = reader.aggregate(series, {now - back, now}, step, 1'000'000);
    const auto took = (seconds() - began) * 1000;
    if (!buckets || buckets->empty()) throw std::runtime_error("the query found nothing");
    return std::pair(took, buckets->size());
  };
  const auto one = [&](const char* name, std::chrono::hours back, storage::Step step) {
    std::vector<double> cold;
    for (int i = 0; i < 5; ++i) {
      drop_from_cache(arguments.directory);
      storage::Reader reader(path);
      cold.push_back(run(reader, back, step).first);
    }
    storage::Reader reader(path);
    std::vector<double> warm;
    std::size_t buckets = 0;
    for (int i = 0; i < 41; ++i) {
      const auto [took, size] = run(reader, back, step);
      if (i > 0) warm.push_back(took);
      buckets = size;
    }
    std::ranges::sort(warm);
    std::ranges::sort(cold);
    return fmt::format(R"("{}":{{"p50":{:.3f},"p95":{:.3f},"p99":{:.3f},"cold":{:.3f},"buckets":{}}})", name,
                       warm[warm.size() / 2], warm[warm.size() * 95 / 100], warm.back(), cold[2], buckets);
  };
  fmt::print("{{{},{}}}\n", one("7d_1m", 24h * 7, storage::Step::of(1min)),
             one("90d_1h", 24h * 90, storage::Step::hours()));
}

double entropy_bytes(const std::vector<std::int64_t>& values) {
  std::map<std::int64_t, double> counts;
  for (const auto value : values) ++counts[value];
  double bits = 0;
  const auto total = static_cast<double>(values.size());
  for (const auto& [value, count] : counts) bits -= count / total * std::log2(count / total);
  return bits / 8;
}

/// The encodings by themselves, on an hour of one meter's channels: speed, size, and the entropy of the differences.
void codec(const Arguments& arguments) {
  const auto signals = make_signals("meter_1s", arguments.seed, "", start_of(arguments));
  std::vector<std::vector<double>> channels(5);
  std::vector<Reading> readings;
  for (std::int64_t tick = 0; tick < 3600; ++tick) {
    readings.clear();
    signals->next(tick, readings);
    for (std::size_t c = 0; c < 5; ++c) channels[c].push_back(std::get<double>(readings[0].fields[c].value));
  }
  constexpr std::array<int, 5> kPlaces{1, 2, 1, 1, 3};
  double encode = 0, decode = 0, entropy = 0, packed = 0, chosen = 0;
  std::int64_t count = 0;
  std::vector<std::int64_t> digits(3600);
  std::vector<double> back(3600);
  for (int round = 0; round < 400; ++round) {
    for (std::size_t c = 0; c < 5; ++c) {
      ByteWriter out;
      auto began = seconds();
      storage::scale(channels[c], kPlaces[c], digits.data());
      storage::write_integers(out, digits, storage::Prediction::delta, storage::Coding::packed);
      encode += seconds() - began;
      began = seconds();
      ByteReader in(out.bytes());
      storage::read_integers(in, digits.size(), digits);
      for (std::size_t i = 0; i < digits.size(); ++i) back[i] = storage::from_decimal({digits[i], kPlaces[c]});
      decode += seconds() - began;
      if (back != channels[c]) throw std::runtime_error("what was encoded did not come back");
      count += 3600;
      if (round > 0) continue;
      packed += static_cast<double>(out.bytes().size()) / 3600 / 5;
      ByteWriter best;
      storage::write_reals(best, channels[c]);
      chosen += static_cast<double>(best.bytes().size()) / 3600 / 5;
      std::vector<std::int64_t> deltas(3600);
      std::adjacent_difference(digits.begin(), digits.end(), deltas.begin());
      deltas.erase(deltas.begin());
      entropy += entropy_bytes(deltas) / 5;
    }
  }
  fmt::print(R"({{"encode":{:.1f},"decode":{:.1f},"packed":{:.3f},"chosen":{:.3f},"entropy":{:.3f}}})"
             "\n",
             static_cast<double>(count) / encode / 1e6, static_cast<double>(count) / decode / 1e6, packed, chosen,
             entropy);
}

}  // namespace
}  // namespace wattd::bench

int main(int argc, char** argv) try {
  using namespace wattd::bench;
  CLI::App app("Drives the storage room with seeded signals");
  app.require_subcommand(1);
  Arguments arguments;
  const auto command = [&](const char* name, void (*run)(const Arguments&)) {
    auto* sub = app.add_subcommand(name);
    sub->add_option("--directory", arguments.directory);
    sub->add_option("--signals", arguments.signals);
    sub->add_option("--file", arguments.file);
    sub->add_option("--seed", arguments.seed);
    sub->add_option("--days", arguments.days);
    sub->add_option("--commit", arguments.commit_seconds);
    sub->add_option("--ring", arguments.ring);
    sub->add_option("--start", arguments.start);
    sub->add_flag("--lagging", arguments.lagging);
    sub->callback([run, &arguments] { run(arguments); });
  };
  command("fill", fill);
  command("rows", rows);
  command("lines", lines);
  command("ingest", ingest);
  command("query", query);
  command("codec", codec);
  CLI11_PARSE(app, argc, argv);
  return 0;
} catch (const std::exception& problem) {
  std::fprintf(stderr, "bench_storage: %s\n", problem.what());
  return 1;
}
