#include "core/tls.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include "core/socket.hpp"

namespace tandem::detail {
namespace {

std::string openssl_error() {
  auto const code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "unknown TLS error";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

// A socket for OpenSSL that writes with MSG_NOSIGNAL: OpenSSL's own raises SIGPIPE in the user's
// process.

int descriptor(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

int finish(BIO* bio, ssize_t result, int retry_flag) {
  BIO_clear_retry_flags(bio);
  if (result < 0 && (errno == EAGAIN || errno == EINTR))
    BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
  return static_cast<int>(result);
}

int write_socket(BIO* bio, char const* from, int size) {
  return finish(bio, ::send(descriptor(bio), from, static_cast<std::size_t>(size), MSG_NOSIGNAL),
                BIO_FLAGS_WRITE);
}

int read_socket(BIO* bio, char* into, int size) {
  return finish(bio, ::recv(descriptor(bio), into, static_cast<std::size_t>(size), 0),
                BIO_FLAGS_READ);
}

long control_socket(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO* make_bio(int fd) {
  static BIO_METHOD* const method = [] {
    auto* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tandem socket");
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_ctrl(made, control_socket);
    return made;
  }();
  auto* const bio = BIO_new(method);
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
  BIO_set_init(bio, 1);
  return bio;
}

[[noreturn]] void refuse(Options const& options, std::string_view what, std::string_view file) {
  throw Unreachable{fmt::format("tandem: cannot connect to {}: {} {}: {}", options.endpoint(), what,
                                file, openssl_error())};
}

std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> make_context(Options const& options) {
  auto const& tls = options.tls;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context{SSL_CTX_new(TLS_client_method()),
                                                            &SSL_CTX_free};
  if (!context) refuse(options, "TLS cannot be set up", "");
  auto* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_verify(raw, tls.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (tls.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(raw);
  } else if (SSL_CTX_load_verify_locations(raw, tls.ca_file.c_str(), nullptr) != 1) {
    refuse(options, "the authorities' file", tls.ca_file);
  }
  // Nobody is asked for a passphrase: an encrypted key is refused.
  SSL_CTX_set_default_passwd_cb(raw, [](char*, int, int, void*) { return -1; });
  if (!tls.certificate_file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(raw, tls.certificate_file.c_str()) != 1) {
      refuse(options, "the certificate file", tls.certificate_file);
    }
    if (SSL_CTX_use_PrivateKey_file(raw, tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      refuse(options, "the key file", tls.key_file);
    }
  }
  return context;
}

bool is_address(std::string const& name) {
  unsigned char bytes[16];
  return ::inet_pton(AF_INET, name.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), bytes) == 1;
}

}  // namespace

void Tls::Free::operator()(ssl_st* session) const noexcept { SSL_free(session); }

Tls::Tls(Options const& options, int fd) {
  ERR_clear_error();
  auto const context = make_context(options);
  session_.reset(SSL_new(context.get()));
  auto* const raw = session_.get();
  if (raw == nullptr) refuse(options, "TLS cannot be set up", "");
  SSL_set_read_ahead(raw, 1);  // else a record is two system calls: its head, and the rest
  SSL_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  auto const& name = options.tls.server_name.empty() ? options.host : options.tls.server_name;
  bool named = true;
  if (is_address(name)) {
    named = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(raw), name.c_str()) == 1;
  } else {
    named =
        SSL_set_tlsext_host_name(raw, name.c_str()) == 1 && SSL_set1_host(raw, name.c_str()) == 1;
  }
  if (!named) refuse(options, "the server's name", name);
  auto* const bio = make_bio(fd);
  SSL_set_bio(raw, bio, bio);
  SSL_set_connect_state(raw);
}

Tls::Step Tls::step(int result) {
  if (result > 0) return {.bytes = static_cast<std::size_t>(result)};
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {.wait_for = POLLIN};
    case SSL_ERROR_WANT_WRITE:
      return {.wait_for = POLLOUT};
    case SSL_ERROR_ZERO_RETURN:
      return {.over = true};
    case SSL_ERROR_SYSCALL:
      return {.over = true, .error = errno == 0 ? "" : std::string{error_text(errno)}};
    default: {
      bool const asked = SSL_get_verify_mode(session_.get()) != SSL_VERIFY_NONE;
      auto const verified = asked ? SSL_get_verify_result(session_.get()) : X509_V_OK;
      auto text = verified == X509_V_OK ? openssl_error() : X509_verify_cert_error_string(verified);
      return {.over = true, .error = std::move(text)};
    }
  }
}

Tls::Step Tls::shake_hands() {
  ERR_clear_error();
  errno = 0;
  auto out = step(SSL_do_handshake(session_.get()));
  out.bytes = 0;
  return out;
}

Tls::Step Tls::read(char* into, std::size_t size) {
  std::lock_guard const guard{mutex_};
  ERR_clear_error();
  errno = 0;
  return step(
      SSL_read(session_.get(), into, static_cast<int>(std::min<std::size_t>(size, INT_MAX))));
}

bool Tls::has_more() noexcept {
  std::lock_guard const guard{mutex_};
  return SSL_has_pending(session_.get()) == 1;
}

Tls::Step Tls::write(char const* from, std::size_t size) {
  std::lock_guard const guard{mutex_};
  ERR_clear_error();
  errno = 0;
  return step(
      SSL_write(session_.get(), from, static_cast<int>(std::min<std::size_t>(size, INT_MAX))));
}

}  // namespace tandem::detail
