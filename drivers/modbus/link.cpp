#include "drivers/modbus/link.h"

#include <fmt/format.h>
#include <modbus.h>
#include <sys/ioctl.h>
#include <sys/select.h>

#include <cerrno>
#include <thread>

namespace wattd::drivers::modbus {
namespace {

using namespace std::chrono_literals;

class LibmodbusLink final : public Link {
 public:
  explicit LibmodbusLink(Address address) : address_(std::move(address)) {}

  Result<std::vector<std::uint16_t>> read(int unit, int function, int address, int count) override {
    if (auto opened = open(); !opened) return std::unexpected(opened.error());
    rest_between_frames();
    modbus_set_slave(context_.get(), unit);
    // A late answer to an earlier request would be taken for this one's: RTU has no transaction number.
    if (address_.is_serial()) modbus_flush(context_.get());
    std::vector<std::uint16_t> words(static_cast<std::size_t>(count));
    const int got = function == 4 ? modbus_read_input_registers(context_.get(), address, count, words.data())
                                  : modbus_read_registers(context_.get(), address, count, words.data());
    const int problem = errno;
    last_frame_ = std::chrono::steady_clock::now();
    if (got == count) return words;
    return std::unexpected(failure(problem, unit, function, address, count));
  }

 private:
  struct Free {
    void operator()(modbus_t* context) const {
      modbus_close(context);
      modbus_free(context);
    }
  };

  Result<void> open() {
    if (context_) return {};
    std::unique_ptr<modbus_t, Free> fresh(
        address_.is_serial()
            ? modbus_new_rtu(address_.device.c_str(), address_.baud, address_.parity, 8, address_.stop_bits)
            : modbus_new_tcp_pi(address_.host.c_str(), std::to_string(address_.port).c_str()));
    if (!fresh) return fail(ErrorKind::permanent, fmt::format("{}: {}", address_.text(), modbus_strerror(errno)));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(address_.timeout);
    const auto rest = std::chrono::microseconds(address_.timeout - seconds);
    modbus_set_response_timeout(fresh.get(), static_cast<std::uint32_t>(seconds.count()),
                                static_cast<std::uint32_t>(rest.count()));
    if (modbus_connect(fresh.get()) != 0) {
      return fail(ErrorKind::retry, fmt::format("{} cannot be opened: {}", address_.text(), modbus_strerror(errno)));
    }
    const int fd = modbus_get_socket(fresh.get());
    // The library waits with select(), which writes past its set from this number on.
    if (fd >= FD_SETSIZE) return fail(ErrorKind::retry, "too many open files for another bus");
    if (address_.is_serial()) ioctl(fd, TIOCEXCL);  // a second master on the line would break both
    context_ = std::move(fresh);
    return {};
  }

  /// The silence of 3.5 characters that ends a frame; the library leaves none.
  void rest_between_frames() const {
    if (!address_.is_serial()) return;
    const auto silence = address_.baud > 19200 ? 1750us : std::chrono::microseconds{38'500'000 / address_.baud};
    std::this_thread::sleep_until(last_frame_ + silence);
  }

  Error failure(int problem, int unit, int function, int address, int count) {
    const auto what = fmt::format("{} unit {}: reading {} registers from {} (function {}): {}", address_.text(), unit,
                                  count, address, function, modbus_strerror(problem));
    if (problem == EMBXILADD || problem == EMBXILVAL || problem == EMBXILFUN) return {ErrorKind::unsupported, what};
    if (problem > MODBUS_ENOBASE && problem < EMBBADCRC) return {ErrorKind::permanent, what};
    // The line may still carry the rest of this answer. On TCP a new connection is the only clean cut; on a
    // serial line the answer has to be waited out before the next request.
    if (!address_.is_serial() || problem == EBADF || problem == EIO || problem == ENODEV || problem == ENXIO) {
      context_.reset();
    } else {
      std::this_thread::sleep_for(address_.timeout);
      modbus_flush(context_.get());
    }
    return {ErrorKind::retry, what};
  }

  Address address_;
  std::unique_ptr<modbus_t, Free> context_;
  std::chrono::steady_clock::time_point last_frame_{};
};

}  // namespace

std::string Address::text() const {
  if (is_serial()) return fmt::format("{} at {} 8{}{}", device, baud, parity, stop_bits);
  return fmt::format("{}:{}", host, port);
}

std::unique_ptr<Link> open_link(Address address) { return std::make_unique<LibmodbusLink>(std::move(address)); }

}  // namespace wattd::drivers::modbus
