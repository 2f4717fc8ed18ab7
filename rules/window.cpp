#include "rules/window.h"

#include <algorithm>

namespace wattd::rules {

bool Window::Block::has_room_for(Timestamp at) const {
  return count < kBlock && at >= base && at - base <= Ticks{UINT32_MAX};
}

void Window::Block::summarise() {
  sum = 0, min = values[0], max = values[0];
  for (std::size_t i = 0; i < count; ++i) {
    sum += values[i];
    min = std::min(min, values[i]);
    max = std::max(max, values[i]);
  }
}

void Window::Block::widen() {
  if (far) return;
  auto wide = std::make_unique<std::array<std::uint32_t, kBlock>>();
  for (std::size_t i = 0; i < count; ++i) (*wide)[i] = static_cast<std::uint32_t>(offset(i));
  far = std::move(wide);
}

/// Behind all others.
void Window::Block::append(Timestamp at, double value) {
  const auto ticks = std::chrono::floor<Ticks>(at - base).count();
  if (count == 1 && step == 0) step = static_cast<std::uint32_t>(ticks);
  const auto deviation = ticks - std::int64_t{count} * step;
  if (!far && (deviation < INT16_MIN || deviation > INT16_MAX)) widen();
  if (far) (*far)[count] = static_cast<std::uint32_t>(ticks);
  else deviations[count] = static_cast<std::int16_t>(deviation);
  values[count] = value;
  min = count == 0 ? value : std::min(min, value);
  max = count == 0 ? value : std::max(max, value);
  sum = count == 0 ? value : sum + value;
  count += 1;
}

void Window::Block::insert(std::size_t place, Timestamp at, double value) {
  widen();
  std::shift_right(far->begin() + static_cast<std::ptrdiff_t>(place), far->begin() + count + 1, 1);
  std::shift_right(values.begin() + static_cast<std::ptrdiff_t>(place), values.begin() + count + 1, 1);
  (*far)[place] = static_cast<std::uint32_t>(std::chrono::floor<Ticks>(at - base).count());
  values[place] = value;
  count += 1;
}

std::optional<Timestamp> Window::newest() const {
  if (blocks_.empty()) return std::nullopt;
  return blocks_.back()->at(blocks_.back()->count - 1);
}

bool Window::add(Timestamp at, double value) {
  at = Timestamp{std::chrono::floor<Ticks>(at.time_since_epoch())};
  const auto last = newest();
  if (last && at <= *last - length_) return false;
  began_ = began_ ? std::min(*began_, at) : at;
  if (last && at <= *last) {
    // Somewhere in between: the first block that ends at or after it.
    const auto block = std::ranges::find_if(blocks_, [&](const auto& one) { return one->at(one->count - 1) >= at; });
    auto& found = **block;
    for (std::size_t i = 0; i < found.count; ++i) {
      if (found.at(i) != at) continue;
      found.values[i] = value;
      found.summarise();
      return false;
    }
    insert_late(at, value);
    return true;
  }
  if (blocks_.empty() || !blocks_.back()->has_room_for(at)) {
    auto fresh = std::make_unique<Block>();
    fresh->base = at;
    // Whoever has spoken regularly so far is expected to go on like that.
    if (!blocks_.empty() && blocks_.back()->count == kBlock) {
      const auto span = blocks_.back()->offset(kBlock - 1);
      fresh->step = static_cast<std::uint32_t>(span / static_cast<std::int64_t>(kBlock - 1));
    }
    blocks_.push_back(std::move(fresh));
  }
  blocks_.back()->append(at, value);
  forget();
  return true;
}

/// Into the block whose time it is; one that is full is cut in two, one that begins later gets a block before it.
void Window::insert_late(Timestamp at, double value) {
  auto entry = std::ranges::find_if(blocks_, [&](const auto& one) { return one->at(one->count - 1) >= at; });
  if ((*entry)->base > at) {
    if (entry != blocks_.begin() && (*std::prev(entry))->has_room_for(at)) {
      --entry;
    } else {
      entry = blocks_.insert(entry, std::make_unique<Block>());
      (*entry)->base = at;
    }
  } else if ((*entry)->count == kBlock) {
    auto& full = **entry;
    auto second = std::make_unique<Block>();
    second->base = full.at(kBlock / 2);
    for (std::size_t i = kBlock / 2; i < kBlock; ++i) second->append(full.at(i), full.values[i]);
    full.count = kBlock / 2;
    full.summarise();
    second->summarise();
    const bool in_second = second->base <= at;
    entry = blocks_.insert(std::next(entry), std::move(second));
    if (!in_second) --entry;
  }
  auto& block = **entry;
  std::size_t place = 0;
  while (place < block.count && block.at(place) < at) ++place;
  block.insert(place, at, value);
  block.summarise();
}

void Window::forget() {
  const auto oldest = *newest() - length_;
  while (blocks_.size() > 1 && blocks_.front()->at(blocks_.front()->count - 1) <= oldest)
    blocks_.erase(blocks_.begin());
}

void Window::forget_after(Timestamp at) {
  while (!blocks_.empty() && blocks_.back()->base > at) blocks_.pop_back();
  if (blocks_.empty()) return began_.reset();
  auto& last = *blocks_.back();
  while (last.at(last.count - 1) > at) last.count -= 1;
  last.summarise();
}

bool Window::covers(std::chrono::microseconds length) const {
  const auto last = newest();
  // The last sample before the window may be as far from its edge as samples are from one another.
  return last && *last - *began_ >= length - length / 10;
}

Aggregate Window::over(std::chrono::microseconds length, Timestamp until) const {
  Aggregate all;
  const auto after = until - length;
  const auto take = [&](std::uint64_t count, double sum, double min, double max) {
    all.min = all.count == 0 ? min : std::min(all.min, min);
    all.max = all.count == 0 ? max : std::max(all.max, max);
    all.count += count;
    all.sum += sum;
  };
  const auto mark = [&](Timestamp at, double value) {
    if (all.count == 0) all.first_at = at, all.first = value;
    all.last_at = at, all.last = value;
  };
  for (const auto& entry : blocks_) {
    const auto& block = *entry;
    const auto end = block.at(block.count - 1);
    if (end <= after) continue;
    if (block.base > until) break;
    if (block.base > after && end <= until) {
      mark(block.base, block.values[0]);
      take(block.count, block.sum, block.min, block.max);
      mark(end, block.values[block.count - 1]);
      continue;
    }
    for (std::size_t i = 0; i < block.count; ++i) {
      const auto at = block.at(i);
      if (at <= after || at > until) continue;
      mark(at, block.values[i]);
      take(1, block.values[i], block.values[i], block.values[i]);
    }
  }
  return all;
}

}  // namespace wattd::rules
