#include "drivers/modbus/plan.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <tuple>

namespace wattd::drivers::modbus {
namespace {

constexpr int kBitsPerByte = 11;
constexpr int kFrameBytes = 8 + 5;      // a request, and an answer without its registers
constexpr double kTurnaroundMs = 40;    // what a meter takes to think
constexpr double kTcpRequestMs = 5;     // a round trip in the plant,
constexpr double kTcpRegisterMs = .02;  // and what a register adds to it
constexpr int kLargestExponent = 10;

int align_down(int address, int alignment) { return address - address % alignment; }
int align_up(int end, int alignment) { return std::min((end + alignment - 1) / alignment * alignment, 65536); }

double byte_ms(int baud) { return 1000.0 * kBitsPerByte / baud; }

/// What requests cost, in milliseconds.
struct Costs {
  double request;
  double each;  ///< Register.
};

Costs costs_of(const Profile& profile, const Line& line) {
  const auto delay = static_cast<double>(profile.delay.count());
  if (line.baud == 0) return {kTcpRequestMs + delay, kTcpRegisterMs};
  return {kFrameBytes * byte_ms(line.baud) + kTurnaroundMs + delay, 2 * byte_ms(line.baud)};
}

/// Splits rows, sorted by address, so that all requests together cost the least.
class Splitter {
 public:
  Splitter(const Profile& profile, const Line& line, std::vector<const Register*> rows)
      : profile_(profile), line_(line), costs_(costs_of(profile, line)), rows_(std::move(rows)) {
    limit_ = profile.max_registers;
    if (line.max_registers > 0) limit_ = std::min(limit_, line.max_registers);
  }

  std::vector<Request> split() const {
    // The cheapest way to read the first n rows, and where its last request begins.
    std::vector<double> cost(rows_.size() + 1, std::numeric_limits<double>::infinity());
    std::vector<std::size_t> begin(rows_.size() + 1, 0);
    cost[0] = 0;
    for (std::size_t from = 0; from < rows_.size(); ++from) {
      int first = rows_[from]->first();
      int end = rows_[from]->end();
      for (auto to = from; to < rows_.size(); ++to) {
        if (to > from && !may_join(*rows_[from], end, *rows_[to])) break;
        first = std::min(first, rows_[to]->first());
        end = std::max(end, rows_[to]->end());
        const int count = align_up(end, profile_.alignment) - align_down(first, profile_.alignment);
        if (count > limit_ && to > from) break;
        const auto more = cost[from] + costs_.request + costs_.each * count;
        if (more < cost[to + 1]) cost[to + 1] = more, begin[to + 1] = from;
      }
    }
    std::vector<Request> requests;
    for (auto end = rows_.size(); end > 0; end = begin[end]) requests.push_back(request_of(begin[end], end));
    std::ranges::reverse(requests);
    return requests;
  }

  Request request_of(std::size_t from, std::size_t to) const {
    Request request{.function = rows_[from]->function, .address = rows_[from]->first()};
    int end = 0;
    for (auto i = from; i < to; ++i) {
      request.rows.push_back(rows_[i]);
      request.address = std::min(request.address, rows_[i]->first());
      end = std::max(end, rows_[i]->end());
    }
    request.address = align_down(request.address, profile_.alignment);
    request.count = align_up(end, profile_.alignment) - request.address;
    return request;
  }

 private:
  bool may_join(const Register& first, int end, const Register& next) const {
    if (next.function != first.function || next.first() - end > profile_.max_gap) return false;
    return std::ranges::none_of(line_.holes, [&](const Hole& hole) {
      return hole.function == next.function && hole.from < next.end() && hole.to > end;
    });
  }

  const Profile& profile_;
  const Line& line_;
  Costs costs_;
  int limit_ = 0;
  std::vector<const Register*> rows_;
};

}  // namespace

std::vector<Request> plan(const Profile& profile, Rows rows, bool experimental, const Line& line) {
  std::vector<const Register*> together;
  std::vector<const Register*> alone;
  for (const auto& row : profile.registers) {
    const bool is_wanted = rows == Rows::all || (row.poll == PollClass::fast) == (rows == Rows::fast);
    if (!is_wanted || (row.experimental && !experimental)) continue;
    if (touches_hole(row, line)) continue;
    (row.access == Access::alone ? alone : together).push_back(&row);
  }
  const auto place = [](const Register* row) { return std::tuple(row->function, row->first(), row->end()); };
  std::ranges::sort(together, {}, place);
  std::ranges::sort(alone, {}, place);
  auto requests = Splitter(profile, line, together).split();
  const Splitter single(profile, line, alone);
  for (std::size_t i = 0; i < alone.size(); ++i) requests.push_back(single.request_of(i, i + 1));
  return requests;
}

bool touches_hole(const Register& row, const Line& line) {
  return std::ranges::any_of(line.holes, [&](const Hole& hole) {
    return hole.function == row.function && hole.from < row.end() && row.first() < hole.to;
  });
}

void tell_apart(std::vector<Request*> requests, const Profile& profile) {
  std::map<std::pair<int, int>, int> taken;  // where those of a function and length begin
  for (auto* request : requests) {
    int count = request->count;
    const auto is_taken = [&] {
      const auto other = taken.find({request->function, count});
      return other != taken.end() && other->second != request->address;
    };
    while (is_taken()) count += profile.alignment;
    const int padding = count - request->count;
    const bool fits = count <= profile.max_registers && request->address + count <= 65536;
    if (padding <= profile.max_gap && fits) request->padding = padding, request->count = count;
    taken.emplace(std::pair(request->function, request->count), request->address);
  }
}

std::chrono::microseconds bus_time(const std::vector<Request>& requests, const Profile& profile, int baud) {
  std::chrono::microseconds total{0};
  for (const auto& request : requests) {
    const int bytes = kFrameBytes + 2 * request.count;
    total += std::chrono::microseconds{std::int64_t{bytes} * kBitsPerByte * 1'000'000 / baud} + profile.delay;
  }
  return total;
}

std::span<const std::uint16_t> words_of(const Register& row, const Request& request,
                                        std::span<const std::uint16_t> words) {
  return words.subspan(static_cast<std::size_t>(row.address - request.address), static_cast<std::size_t>(row.count()));
}

std::optional<Value> value_in(const Register& row, const Request& request, std::span<const std::uint16_t> words) {
  int exponent = 0;
  if (row.scale_register) {
    exponent = static_cast<std::int16_t>(words[static_cast<std::size_t>(*row.scale_register - request.address)]);
    if (std::abs(exponent) > kLargestExponent) return std::nullopt;
  }
  return decode(row, words_of(row, request, words), exponent);
}

}  // namespace wattd::drivers::modbus
