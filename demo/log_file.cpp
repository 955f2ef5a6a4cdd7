#include "log_file.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.hpp"

namespace demo {

LogFile::LogFile(std::string path)
    : path_{std::move(path)},
      descriptor_{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)} {
  auto const refuse = [this](std::string_view why) {
    if (descriptor_ >= 0) ::close(descriptor_);
    throw Refused{fmt::format("cannot count the lines of '{}': {}", printable(path_), why)};
  };
  struct stat facts {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &facts) != 0)
    refuse(std::generic_category().message(errno));
  if (S_ISDIR(facts.st_mode)) refuse("it is a folder");
  if (!S_ISREG(facts.st_mode)) refuse("it is no ordinary file");
  if (facts.st_size == 0) refuse("it is empty");
  size_ = facts.st_size;
}

LogFile::LogFile(LogFile&& other) noexcept
    : path_{std::move(other.path_)},
      descriptor_{std::exchange(other.descriptor_, -1)},
      size_{other.size_} {}

LogFile::~LogFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

LogFile LogFile::of_this_machine() {
  constexpr std::int64_t tiny = 4096;
  for (auto const* path :
       {dpkg_log, "/var/log/syslog", "/var/log/messages", "/var/log/apt/term.log",
        "/var/log/alternatives.log", "/var/log/bootstrap.log"}) {
    try {
      if (LogFile log{path}; log.size() >= tiny) return log;
    } catch (Refused const&) {
      continue;  // the next one, then
    }
  }
  throw Refused{
      "this machine has no log worth counting (its dpkg log is missing or tiny): give me a FILE of "
      "lines"};
}

std::string LogFile::chunk(std::int64_t chunk, std::int64_t chunks) const {
  // Without the product size * chunk, which overflows for a very large file.
  auto const begin_of = [this, chunks](std::int64_t n) {
    return size_ / chunks * n + size_ % chunks * n / chunks;
  };
  return lines(begin_of(chunk), begin_of(chunk + 1));
}

std::string LogFile::lines(std::int64_t begin, std::int64_t end) const {
  if (begin >= end) return {};

  // A line begins behind a newline: look for the first from one byte before.
  auto text = bytes(std::max<std::int64_t>(begin - 1, 0), end);
  if (begin > 0) {
    auto const newline = text.find('\n');
    text.erase(0, newline == std::string::npos ? newline : newline + 1);
  }
  if (text.empty()) return {};

  // The last line may end far behind `end`.
  constexpr std::int64_t step = 1 << 16;
  while (text.back() != '\n' && end < size_) {
    auto more = bytes(end, std::min(end + step, size_));
    end += std::ssize(more);
    if (auto const newline = more.find('\n'); newline != std::string::npos) more.erase(newline + 1);
    text += more;
  }
  return text;
}

std::string LogFile::bytes(std::int64_t begin, std::int64_t end) const {
  std::string text(static_cast<std::size_t>(end - begin), '\0');
  for (std::size_t done = 0; done < text.size();) {
    auto const count = ::pread(descriptor_, text.data() + done, text.size() - done,
                               begin + static_cast<std::int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw std::system_error{errno, std::generic_category(), "reading " + path_};
    if (count == 0) throw std::runtime_error{path_ + " became shorter while it was read"};
    done += static_cast<std::size_t>(count);
  }
  return text;
}

}  // namespace demo
