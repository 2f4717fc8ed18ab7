#include "tests/storage/faulty_disk.h"

#include <sqlite3.h>

#include <cstring>
#include <fstream>

namespace wattd::storage {
namespace {

FaultyDisk* disk = nullptr;  // SQLite hands no more than a name to a VFS
sqlite3_vfs* real_vfs = nullptr;
sqlite3_vfs faulty_vfs{};

struct WatchedFile {
  sqlite3_file base;
  std::string* path;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

WatchedFile* watched(sqlite3_file* file) { return reinterpret_cast<WatchedFile*>(file); }
sqlite3_file* real(sqlite3_file* file) { return watched(file)->real(); }

int close_file(sqlite3_file* file) {
  delete watched(file)->path;
  return real(file)->pMethods->xClose(real(file));
}
int read_file(sqlite3_file* file, void* bytes, int size, sqlite3_int64 offset) {
  return real(file)->pMethods->xRead(real(file), bytes, size, offset);
}
int write_file(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  if (const int code = disk->before_operation(); code != 0) return code;
  disk->wrote(*watched(file)->path, offset, bytes, static_cast<std::size_t>(size));
  return real(file)->pMethods->xWrite(real(file), bytes, size, offset);
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  if (const int code = disk->before_operation(); code != 0) return code;
  disk->truncated(*watched(file)->path, size);
  return real(file)->pMethods->xTruncate(real(file), size);
}
int sync_file(sqlite3_file* file, int) {
  if (const int code = disk->before_operation(); code != 0) return code;
  disk->synced(*watched(file)->path);
  return SQLITE_OK;  // the model is the disk; the real one need not spin
}
int file_size(sqlite3_file* file, sqlite3_int64* size) { return real(file)->pMethods->xFileSize(real(file), size); }
int lock(sqlite3_file* file, int level) { return real(file)->pMethods->xLock(real(file), level); }
int unlock(sqlite3_file* file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }
int reserved(sqlite3_file* file, int* out) { return real(file)->pMethods->xCheckReservedLock(real(file), out); }
int control(sqlite3_file* file, int op, void* arg) { return real(file)->pMethods->xFileControl(real(file), op, arg); }
int sector_size(sqlite3_file* file) { return real(file)->pMethods->xSectorSize(real(file)); }
int characteristics(sqlite3_file* file) { return real(file)->pMethods->xDeviceCharacteristics(real(file)); }
int shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return real(file)->pMethods->xShmMap(real(file), page, size, extend, out);
}
int shm_lock(sqlite3_file* file, int offset, int n, int flags) {
  return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}
void shm_barrier(sqlite3_file* file) { real(file)->pMethods->xShmBarrier(real(file)); }
int shm_unmap(sqlite3_file* file, int remove) { return real(file)->pMethods->xShmUnmap(real(file), remove); }

const sqlite3_io_methods kMethods{
    2,       close_file,  read_file,       write_file, truncate_file, sync_file,   file_size, lock,    unlock, reserved,
    control, sector_size, characteristics, shm_map,    shm_lock,      shm_barrier, shm_unmap, nullptr, nullptr};

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
  auto* opened = watched(file);
  opened->path = new std::string(name == nullptr ? "" : name);
  const int code = real_vfs->xOpen(real_vfs, name, opened->real(), flags, out);
  file->pMethods = opened->real()->pMethods == nullptr ? nullptr : &kMethods;
  if (file->pMethods == nullptr) delete opened->path;
  else disk->opened(*opened->path);
  return code;
}

int delete_file(sqlite3_vfs*, const char* name, int sync) {
  if (disk->is_dead()) return SQLITE_IOERR_DELETE;
  disk->removed(name);
  return real_vfs->xDelete(real_vfs, name, sync);
}

}  // namespace

FaultyDisk::FaultyDisk() {
  disk = this;
  real_vfs = sqlite3_vfs_find(nullptr);
  faulty_vfs = *real_vfs;
  faulty_vfs.zName = "faulty";
  faulty_vfs.szOsFile = static_cast<int>(sizeof(WatchedFile)) + real_vfs->szOsFile;
  faulty_vfs.xOpen = open_file;
  faulty_vfs.xDelete = delete_file;
  sqlite3_vfs_register(&faulty_vfs, 1);
}

FaultyDisk::~FaultyDisk() {
  sqlite3_vfs_unregister(&faulty_vfs);
  sqlite3_vfs_register(real_vfs, 1);
  disk = nullptr;
}

void FaultyDisk::cut_power_after(std::uint64_t count, std::uint64_t seed) {
  cut_at_ = operations_ + count;
  random_.seed(seed);
}

void FaultyDisk::fail_between(std::uint64_t from, std::uint64_t to, int code) {
  fail_from_ = operations_ + from, fail_to_ = operations_ + to, fail_code_ = code;
}

int FaultyDisk::before_operation() {
  const auto number = ++operations_;
  if (number >= cut_at_) dead_ = true;
  if (dead_) return SQLITE_IOERR_WRITE;
  return number >= fail_from_ && number < fail_to_ ? fail_code_ : SQLITE_OK;
}

void FaultyDisk::opened(const std::string& path) {
  if (files_.contains(path)) return;
  std::ifstream in(path, std::ios::binary);
  files_[path].durable.assign(std::istreambuf_iterator<char>(in), {});
}

void FaultyDisk::wrote(const std::string& path, std::int64_t offset, const void* bytes, std::size_t size) {
  const auto* first = static_cast<const std::uint8_t*>(bytes);
  files_[path].unsynced.push_back({offset, -1, {first, first + size}});
}

void FaultyDisk::truncated(const std::string& path, std::int64_t size) {
  files_[path].unsynced.push_back({0, size, {}});
}

void FaultyDisk::synced(const std::string& path) {
  auto& file = files_[path];
  for (const auto& change : file.unsynced) apply(file.durable, change);
  file.unsynced.clear();
}

void FaultyDisk::apply(std::vector<std::uint8_t>& image, const Change& change) {
  if (change.size >= 0) return image.resize(static_cast<std::size_t>(change.size));
  const auto end = static_cast<std::size_t>(change.offset) + change.bytes.size();
  if (image.size() < end) image.resize(end);
  std::memcpy(image.data() + change.offset, change.bytes.data(), change.bytes.size());
}

void FaultyDisk::apply_torn(std::vector<std::uint8_t>& image, const Change& change) {
  const auto fate = random_() % 3;
  if (fate == 0) return;
  if (fate == 1 || change.size >= 0) return apply(image, change);
  for (std::size_t from = 0; from < change.bytes.size(); from += 512) {
    if (random_() % 2 == 0) continue;
    const auto to = std::min(from + 512, change.bytes.size());
    apply(image, {change.offset + static_cast<std::int64_t>(from),
                  -1,
                  {change.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                   change.bytes.begin() + static_cast<std::ptrdiff_t>(to)}});
  }
}

void FaultyDisk::restore() {
  for (auto& [path, file] : files_) {
    for (const auto& change : file.unsynced) apply_torn(file.durable, change);
    file.unsynced.clear();
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(reinterpret_cast<const char*>(file.durable.data()), static_cast<std::streamsize>(file.durable.size()));
  }
  dead_ = false;
  cut_at_ = UINT64_MAX;
}

}  // namespace wattd::storage
