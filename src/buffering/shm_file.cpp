#include "buffering/shm_file.hpp"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tandem/core/error.hpp>

#include "core/waiting.hpp"

namespace tandem::detail {
namespace {

constexpr ::mode_t ours_only = 0600;

[[noreturn]] void fail(std::string const& path, char const* what, int code) {
  throw Error{fmt::format("tandem: {}: cannot {}: {}", path, what, error_text(code))};
}

}  // namespace

ShmFile ShmFile::open_or_make(std::string const& path, Form const& form) {
  for (;;) {
    if (int const fd = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC); fd >= 0) {
      ShmFile there{fd};
      there.check(path, form);
      return there;
    }
    if (errno != ENOENT) fail(path, "open it", errno);

    auto const folder = path.substr(0, path.rfind('/'));
    ShmFile fresh{::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, ours_only)};
    if (fresh.fd_ < 0) fail(path, "make it", errno);
    if (::fchmod(fresh.fd_, ours_only) != 0 ||  // whatever the umask is
        ::ftruncate(fresh.fd_, static_cast<::off_t>(form.size)) != 0)
      fail(path, "make it", errno);
    fresh.reserve(0, form.reserved, path);
    if (::pwrite(fresh.fd_, form.magic.data(), form.magic.size(), 0) !=
        static_cast<::ssize_t>(form.magic.size()))
      fail(path, "write to it", errno);
    auto const nameless = fmt::format("/proc/self/fd/{}", fresh.fd_);
    if (::linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0)
      return fresh;
    if (errno != EEXIST) fail(path, "make it", errno);  // else another was first, and that will do
  }
}

std::optional<ShmFile> ShmFile::open_existing(std::string const& path) noexcept {
  int const fd = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  return ShmFile{fd};
}

ShmFile::ShmFile(ShmFile&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}

ShmFile::~ShmFile() {
  if (fd_ < 0) return;
  ::flock(fd_, LOCK_UN);  // a copy in a child that is about to exec would keep it
  ::close(fd_);
}

void ShmFile::check(std::string const& path, Form const& form) const {
  struct ::stat now {};
  if (::fstat(fd_, &now) != 0) fail(path, "look at it", errno);
  if (!S_ISREG(now.st_mode) || now.st_uid != ::geteuid() || (now.st_mode & 07777) != ours_only) {
    throw Error{fmt::format(
        "tandem: {}: it is of user {} with mode {:o}, and what is counted there must be a file of "
        "user {} with mode 600; who may write to it could count what was never added",
        path, now.st_uid, now.st_mode & 07777, ::geteuid())};
  }
  std::string begin(form.magic.size(), '\0');
  bool const is_read =
      ::pread(fd_, begin.data(), begin.size(), 0) == static_cast<::ssize_t>(begin.size());
  if (!is_read || begin != form.magic || static_cast<std::size_t>(now.st_size) != form.size) {
    throw Error{fmt::format(
        "tandem: {}: it is not what this version of tandem writes there; remove it when nobody "
        "counts there",
        path)};
  }
}

bool ShmFile::try_lock() noexcept { return ::flock(fd_, LOCK_EX | LOCK_NB) == 0; }

bool ShmFile::has_name() const noexcept {
  struct ::stat now {};
  return ::fstat(fd_, &now) == 0 && now.st_nlink > 0;
}

std::uint64_t ShmFile::inode() const noexcept {
  struct ::stat now {};
  return ::fstat(fd_, &now) == 0 ? now.st_ino : 0;
}

void ShmFile::reserve(std::size_t offset, std::size_t size, std::string const& path) const {
  int const code = ::posix_fallocate(fd_, static_cast<::off_t>(offset), static_cast<::off_t>(size));
  if (code != 0) fail(path, "have memory for it", code);
}

void* ShmFile::map(std::size_t size, std::string const& path) const {
  void* const out = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (out == MAP_FAILED) fail(path, "map it", errno);
  return out;
}

}  // namespace tandem::detail
