#include "storage/shipment.h"

#include <fmt/format.h>

#include <algorithm>

#include "storage/chunk.h"
#include "storage/envelope.h"

namespace wattd::storage {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 6;
constexpr std::size_t kMaxText = 64 << 10;
constexpr std::size_t kMaxCells = 4u << 20;
constexpr std::size_t kMaxRows = 200'000;
constexpr std::size_t kMaxNames = 100'000;  // devices and fields together

auto key_of(const DeviceVersion& device) {
  return std::tie(device.device_id, device.device_type, device.location, device.schema_version,
                  device.enrichment_status);
}

std::string read_text(ByteReader& in) {
  auto text = in.text();
  if (text.size() > kMaxText) throw BadBytes("a text is too long");
  return text;
}

struct Dictionary {
  std::string gateway;
  std::vector<std::pair<DeviceVersion, std::vector<std::string>>> devices;
};

Dictionary read_dictionary(ByteReader& in) {
  std::vector<std::uint8_t> buffer;
  const auto section = read_section(in);
  ByteReader text(section.plain(buffer));
  Dictionary dictionary{.gateway = read_text(text), .devices = {}};
  std::size_t names = 0;
  for (auto left = text.count(6); left > 0; --left) {
    if (++names > kMaxNames) throw BadBytes("there are too many names");
    auto& [device, fields] = dictionary.devices.emplace_back();
    for (auto* one :
         {&device.device_id, &device.device_type, &device.location, &device.schema_version, &device.enrichment_status})
      *one = read_text(text);
    for (auto more = text.count(1); more > 0; --more) {
      if (++names > kMaxNames) throw BadBytes("there are too many names");
      fields.push_back(read_text(text));
    }
  }
  return dictionary;
}

ShippedRows read_part(ByteReader& in, const Dictionary& dictionary, std::size_t& rows, std::size_t& cells) {
  const auto place = in.varint();
  if (place >= dictionary.devices.size()) throw BadBytes("a device is not in the dictionary");
  const auto& [device, fields] = dictionary.devices[place];
  const auto head = in.take(in.count(1));
  const auto body = in.take(in.count(1));
  const auto summary = decode_chunk_head(head);
  if (!summary) throw BadBytes(summary.error().message);
  rows += summary->rows;
  cells += summary->rows * std::max<std::size_t>(summary->series.size(), 1);
  if (rows > kMaxRows || cells > kMaxCells) throw BadBytes("there are too many values");
  auto block = decode_chunk(head, body);
  if (!block) throw BadBytes(block.error().message);
  ShippedRows part{.device = device, .rows = {.device_id = device.device_id, .fields = {}}};
  for (const auto& column : block->columns) {
    if (column.series_id >= fields.size()) throw BadBytes("a field is not in the dictionary");
    part.rows.fields.push_back(fields[column.series_id]);
  }
  part.rows.block = std::make_shared<const Block>(std::move(*block));
  return part;
}

}  // namespace

ShipmentWriter::Part& ShipmentWriter::part_of(const DeviceVersion& device) {
  const auto known =
      std::ranges::find_if(parts_, [&](const Part& part) { return key_of(part.device) == key_of(device); });
  if (known != parts_.end()) return *known;
  return parts_.emplace_back(device, std::vector<std::string>{}, Block{});
}

/// Where the columns of the rows stand in the part.
const std::vector<std::uint32_t>& ShipmentWriter::places_of(const Rows& rows, Part& part) {
  last_places_.clear();
  for (const auto& field : rows.fields) {
    const auto known = std::ranges::find(part.fields, field);
    last_places_.push_back(static_cast<std::uint32_t>(known - part.fields.begin()));
    if (known == part.fields.end()) part.fields.push_back(field);
  }
  return last_places_;
}

void ShipmentWriter::add(const Rows& rows, std::size_t row, const DeviceVersion& device) {
  if (last_rows_ != &rows || last_device_ != &device) {
    auto& part = part_of(device);
    last_part_ = static_cast<std::size_t>(&part - parts_.data());
    places_of(rows, part);
    last_rows_ = &rows, last_device_ = &device;
  }
  auto& block = parts_[last_part_].block;
  const auto& from = *rows.block;
  const auto at = block.rows();
  block.add_row(from.at_us[row], 0, from.quality(row));
  for (std::size_t i = 0; i < from.columns.size(); ++i) {
    const auto& column = from.columns[i];
    if (column.has(row))
      block.column(last_places_[i], last_places_[i]).put(at, column.values[row], column.quality(row));
  }
}

std::vector<std::uint8_t> ShipmentWriter::encode() {
  ByteWriter dictionary;
  dictionary.text(gateway_);
  dictionary.varint(parts_.size());
  for (const auto& [device, fields, block] : parts_) {
    for (const auto* one :
         {&device.device_id, &device.device_type, &device.location, &device.schema_version, &device.enrichment_status})
      dictionary.text(*one);
    dictionary.varint(fields.size());
    for (const auto& field : fields) dictionary.text(field);
  }
  ByteWriter body;
  write_section(body, dictionary.bytes());
  body.varint(parts_.size());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    auto& block = parts_[i].block;
    sort_by_time(block);
    const auto chunk = encode_chunk(block);
    body.varint(i);
    for (const auto* bytes : {&chunk.head, &chunk.body}) {
      body.varint(bytes->size());
      body.raw(bytes->data(), bytes->size());
    }
  }
  ByteWriter out;
  out.byte(kVersion);
  out.byte(0);
  out.word(checksum(0, body.bytes()));
  out.raw(body.bytes().data(), body.bytes().size());
  return std::move(out.bytes());
}

Result<Shipment> decode_shipment(std::span<const std::uint8_t> bytes) try {
  ByteReader in(bytes);
  if (bytes.size() < kHeaderBytes) throw BadBytes("the bytes end too early");
  if (const auto version = in.byte(); version != kVersion)
    throw BadBytes(fmt::format("version {} is not known", version));
  const auto flags = in.byte();
  if (in.word() != checksum(flags, in.peek())) throw BadBytes("the checksum does not match");
  if (flags != 0) throw BadBytes("flags that are not known");
  const auto dictionary = read_dictionary(in);
  Shipment shipment{.gateway = dictionary.gateway, .parts = {}};
  std::size_t rows = 0, cells = 0;
  for (auto left = in.count(3); left > 0; --left) {
    if (shipment.parts.size() == dictionary.devices.size()) throw BadBytes("there are more parts than devices");
    shipment.parts.push_back(read_part(in, dictionary, rows, cells));
  }
  return shipment;
} catch (const BadBytes& problem) {
  return fail(ErrorKind::corrupt, fmt::format("the shipment is not readable: {}", problem.what()));
}

}  // namespace wattd::storage
