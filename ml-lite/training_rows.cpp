#include "ml-lite/training_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_set>

#include "ml-lite/measures.h"
#include "ml-lite/random.h"

namespace wattd::ml {

std::optional<Error> check_training(const Table& rows, std::span<const double> target) {
  const auto refuse = [](std::string message) { return Error{ErrorKind::permanent, std::move(message)}; };
  if (rows.rows() < 2 || rows.columns() == 0)
    return refuse("there is nothing to learn from: fewer than two rows, or no column");
  if (rows.columns() > kMostColumns) return refuse(fmt::format("{} columns, at most {}", rows.columns(), kMostColumns));
  if (rows.rows() >= std::numeric_limits<std::uint32_t>::max()) return refuse("too many rows");
  if (target.size() != rows.rows()) return refuse(fmt::format("{} targets for {} rows", target.size(), rows.rows()));
  const auto bad = std::ranges::find_if(target, [](double value) { return !std::isfinite(value); });
  if (bad != target.end()) return refuse(fmt::format("the target of row {} is missing", bad - target.begin() + 1));
  return std::nullopt;
}

Table pick(const Table& rows, std::span<const std::uint32_t> indices) {
  Table picked(rows.columns());
  for (const auto index : indices) picked.append(rows.row(index));
  return picked;
}

std::vector<double> pick(std::span<const double> values, std::span<const std::uint32_t> indices) {
  std::vector<double> picked;
  picked.reserve(indices.size());
  for (const auto index : indices) picked.push_back(values[index]);
  return picked;
}

std::vector<float> medians_of(const Table& rows, Random& random) {
  constexpr std::size_t kMost = 10'000;
  std::vector<std::uint32_t> chosen(std::min(rows.rows(), kMost));
  choose_distinct(chosen, rows.rows(), random);
  std::vector<float> medians;
  std::vector<double> values;
  for (std::size_t column = 0; column < rows.columns(); ++column) {
    values.clear();
    for (const auto row : chosen) {
      if (std::isfinite(rows.at(row, column))) values.push_back(rows.at(row, column));
    }
    medians.push_back(values.empty() ? 0 : static_cast<float>(median(values)));
  }
  return medians;
}

void choose_distinct(std::span<std::uint32_t> chosen, std::size_t limit, Random& random) {
  std::unordered_set<std::uint32_t> taken;
  const auto first = limit - chosen.size();
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto last = static_cast<std::uint32_t>(first + i);
    auto number = random.below(last + 1);
    if (!taken.insert(number).second) taken.insert(number = last);
    chosen[i] = number;
  }
}

std::vector<std::uint32_t> folds_of(std::span<const std::uint32_t> groups, std::span<const double> strata,
                                    std::uint32_t folds, std::uint64_t seed) {
  // Each group once, in a random order, those of one stratum behind each other: then they are dealt out like cards.
  struct Card {
    double stratum;
    std::uint64_t order;
    std::uint32_t group;
  };
  std::map<std::uint32_t, double> stratum_of;
  for (std::size_t row = 0; row < groups.size(); ++row) {
    auto& stratum = stratum_of.try_emplace(groups[row], 0).first->second;
    if (!strata.empty()) stratum = std::max(stratum, strata[row]);
  }
  Random random(seed);
  std::vector<Card> cards;
  for (const auto& [group, stratum] : stratum_of) cards.push_back({stratum, random.bits(), group});
  std::ranges::sort(
      cards, [](const Card& a, const Card& b) { return std::tie(a.stratum, a.order) < std::tie(b.stratum, b.order); });
  std::map<std::uint32_t, std::uint32_t> fold_of;
  for (std::size_t i = 0; i < cards.size(); ++i) fold_of[cards[i].group] = static_cast<std::uint32_t>(i % folds);
  std::vector<std::uint32_t> result;
  result.reserve(groups.size());
  for (const auto group : groups) result.push_back(fold_of[group]);
  return result;
}

}  // namespace wattd::ml
