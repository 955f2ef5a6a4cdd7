#include "tandem/core/options.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>
#include <stdexcept>

#include <fmt/core.h>

namespace tandem {
namespace {

constexpr std::string_view accepted =
    "accepted are redis://[[user]:password@]host[:port][/database], the same with rediss:// for "
    "TLS, and "
    "unix:///path/to/socket, each with ?option=value&... (db, name, protocol, connect_timeout, "
    "command_timeout, strict; "
    "for rediss also ca, cert, key, server_name, verify)";

constexpr std::chrono::milliseconds longest_timeout =
    std::chrono::hours{24};  // more would overflow a deadline one day

/// The URL being read, for the texts of its errors: they show it without its password, wherever a
/// mistake put it.
class Url {
 public:
  explicit Url(std::string_view text) : text_{text} {
    auto const scheme = text.find("://");
    auto const at = text.rfind('@');
    if (at == std::string_view::npos) return;
    secret_begin_ = scheme < at ? scheme + 3 : 0;
    secret_end_ = at;
  }

  [[noreturn]] void refuse(std::string_view why) const {
    // Other libraries take ?password=: names of options are shown, by those who refuse them, values
    // are not.
    auto const behind = text_.substr(secret_end_);
    auto const options = behind.find('?');
    throw std::invalid_argument{
        fmt::format("tandem: URL \"{}{}{}{}\": {}; {}", text_.substr(0, secret_begin_),
                    secret_end_ > 0 ? "***" : "", behind.substr(0, options),
                    options == std::string_view::npos ? "" : "?...", why, accepted)};
  }

  /// `part`, a piece of the URL, as an error may show it.
  [[nodiscard]] std::string_view shown(std::string_view part) const {
    return part.data() < text_.data() + secret_end_ ? "***" : part;
  }

  [[nodiscard]] std::string decode(std::string_view part) const {
    std::string out;
    out.reserve(part.size());
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (part[i] != '%') {
        out += part[i];
        continue;
      }
      unsigned byte = 0;
      auto const* begin = part.data() + i + 1;
      if (i + 2 >= part.size() || std::from_chars(begin, begin + 2, byte, 16).ptr != begin + 2) {
        refuse("a % is not followed by two hexadecimal digits");
      }
      out += static_cast<char>(byte);
      i += 2;
    }
    return out;
  }

  [[nodiscard]] long long number(std::string_view what, std::string_view digits, long long low,
                                 long long high) const {
    long long value = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < low ||
        value > high) {
      refuse(fmt::format("{} \"{}\" is no number from {} to {}", what, shown(digits), low, high));
    }
    return value;
  }

  [[nodiscard]] std::chrono::milliseconds duration(std::string_view what,
                                                   std::string_view text) const {
    long long scale = 1;
    if (text.ends_with("ms")) {
      text.remove_suffix(2);
    } else if (text.ends_with('s')) {
      text.remove_suffix(1);
      scale = 1000;
    }
    return std::chrono::milliseconds{number(what, text, 1, longest_timeout.count() / scale) *
                                     scale};
  }

 private:
  std::string_view text_;
  std::size_t secret_begin_ = 0;  // user and password, or what looks most like them
  std::size_t secret_end_ = 0;
};

/// Splits `text` at the first `separator`; the second half is empty when there is none.
std::pair<std::string_view, std::optional<std::string_view>> split(std::string_view text,
                                                                   char separator) {
  auto const at = text.find(separator);
  if (at == std::string_view::npos) return {text, std::nullopt};
  return {text.substr(0, at), text.substr(at + 1)};
}

void read_credentials(Url const& url, std::string_view credentials, Options& out) {
  auto const [user, password] = split(credentials, ':');
  out.user = url.decode(user);
  if (!password || password->empty())
    url.refuse("a password must follow the user, as in user:password@host");
  out.password = url.decode(*password);
}

void read_address(Url const& url, std::string_view address, Options& out) {
  std::optional<std::string_view> port;
  if (address.starts_with('[')) {
    auto const [host, rest] = split(address.substr(1), ']');
    if (!rest) url.refuse("an IPv6 address lacks its closing bracket");
    out.host = host;
    if (!rest->empty() && !rest->starts_with(':'))
      url.refuse("only a port may follow an IPv6 address");
    if (!rest->empty()) port = rest->substr(1);
  } else {
    auto const [host, rest] = split(address, ':');
    out.host = url.decode(host);
    port = rest;
  }
  if (out.host.empty()) url.refuse("the host is missing");
  if (port) out.port = static_cast<std::uint16_t>(url.number("the port", *port, 1, 65535));
}

bool yes_or_no(Url const& url, std::string_view name, std::string_view raw) {
  auto const value = url.decode(raw);
  if (value != "yes" && value != "no")
    url.refuse(fmt::format("{} is \"{}\", not yes or no", name, url.shown(raw)));
  return value == "yes";
}

bool read_tls_parameter(Url const& url, std::string_view name, std::string_view raw,
                        TlsOptions& out) {
  auto const value = url.decode(raw);
  if (name == "ca") {
    out.ca_file = value;
  } else if (name == "cert") {
    out.certificate_file = value;
  } else if (name == "key") {
    out.key_file = value;
  } else if (name == "server_name") {
    out.server_name = value;
  } else if (name == "verify") {
    out.verify = yes_or_no(url, name, raw);
  } else {
    return false;
  }
  return true;
}

void read_parameter(Url const& url, std::string_view name, std::string_view value, Options& out) {
  if (name == "db") {
    out.database = static_cast<int>(url.number("the database", value, 0, 1'000'000));
  } else if (name == "name") {
    out.name = url.decode(value);
  } else if (name == "protocol") {
    out.protocol = static_cast<int>(url.number("the protocol", value, 2, 3));
  } else if (name == "connect_timeout") {
    out.connect_timeout = url.duration("connect_timeout", value);
  } else if (name == "command_timeout") {
    out.command_timeout = url.duration("command_timeout", value);
  } else if (name == "strict") {
    out.strict = yes_or_no(url, name, value);
  } else if (!out.tls.enabled || !read_tls_parameter(url, name, value, out.tls)) {
    url.refuse(fmt::format("unknown option \"{}\"", url.shown(name)));
  }
}

[[noreturn]] void refuse(std::string_view field, std::string_view given, std::string_view wanted) {
  throw std::invalid_argument{
      fmt::format("tandem: Options::{} is {}; accepted is {}", field, given, wanted)};
}

bool is_printable_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

bool has_space_or_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c <= ' ' || c == 0x7f; });
}

void check_timeout(std::string_view field, std::chrono::milliseconds given) {
  if (given.count() < 1 || given > longest_timeout) {
    refuse(field, fmt::format("{} ms", given.count()), "1 ms to 24 hours");
  }
}

}  // namespace

Options Options::from_url(std::string_view text) {
  Url const url{text};
  Options out;
  auto const scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) url.refuse("it has no scheme");
  auto const scheme = text.substr(0, scheme_end);
  bool const is_unix = scheme == "unix";
  out.tls.enabled = scheme == "rediss";
  if (!is_unix && !out.tls.enabled && scheme != "redis")
    url.refuse(fmt::format("unknown scheme \"{}\"", url.shown(scheme)));

  auto const [place, parameters] = split(text.substr(scheme_end + 3), '?');
  auto const slash = place.find('/');
  auto authority = place.substr(0, slash);
  auto const path = slash == std::string_view::npos ? std::string_view{} : place.substr(slash);
  if (auto const at = authority.rfind('@'); at != std::string_view::npos) {
    read_credentials(url, authority.substr(0, at), out);
    authority.remove_prefix(at + 1);
  }
  if (is_unix) {
    if (!authority.empty())
      url.refuse("a Unix socket has no host: its path begins with a third slash");
    if (path.size() < 2) url.refuse("the path of the socket is missing");
    out.unix_socket = url.decode(path);
  } else {
    read_address(url, authority, out);
    if (path.size() > 1) {
      out.database = static_cast<int>(url.number("the database", path.substr(1), 0, 1'000'000));
    }
  }

  auto rest = parameters;
  while (rest) {
    auto const [parameter, further] = split(*rest, '&');
    auto const [name, value] = split(parameter, '=');
    if (!value) url.refuse(fmt::format("option \"{}\" has no value", url.shown(name)));
    read_parameter(url, name, *value, out);
    rest = further;
  }
  out.check();
  return out;
}

void Options::check() const {
  // The kernel's limit for a Unix socket's address, its closing NUL included (unix(7)).
  constexpr std::size_t longest_path = 107;
  if (unix_socket.empty()) {
    if (host.empty()) refuse("host", "empty", "a name or an address");
    if (has_space_or_control(host))
      refuse("host", "no name", "a name or an address, without spaces");
    if (port == 0) refuse("port", "0", "a number from 1 to 65535");
  } else if (unix_socket.size() > longest_path || unix_socket.find('\0') != std::string::npos) {
    refuse("unix_socket", fmt::format("{} bytes long", unix_socket.size()),
           "a path of at most 107 bytes, without NUL");
  }
  if (database < 0) refuse("database", std::to_string(database), "0 or more");
  if (password.empty() && !user.empty())
    refuse("password", "empty beside a user", "a password with every user");
  if (!is_printable_word(name)) refuse("name", "not printable", "printable ASCII without spaces");
  check_timeout("connect_timeout", connect_timeout);
  check_timeout("command_timeout", command_timeout);
  if (protocol != 2 && protocol != 3) refuse("protocol", std::to_string(protocol), "2 or 3");
  if (max_connections < 1) refuse("max_connections", std::to_string(max_connections), "1 or more");
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    refuse("tls", "half a pair", "certificate_file and key_file together, or neither");
  }
}

std::string Options::endpoint() const {
  if (!unix_socket.empty()) return fmt::format("unix://{}", unix_socket);
  auto const* const scheme = tls.enabled ? "rediss" : "redis";
  bool const bare_ipv6 = host.find(':') != std::string::npos;
  return bare_ipv6 ? fmt::format("{}://[{}]:{}", scheme, host, port)
                   : fmt::format("{}://{}:{}", scheme, host, port);
}

void Options::report(Error const& error) const noexcept {
  try {
    if (on_error) {
      on_error(error);
    } else {
      std::string_view const text =
          error.what();  // our own begin with our name, the server's do not
      fmt::print(stderr, "{}{}\n", text.starts_with("tandem: ") ? "" : "tandem: ", text);
    }
  } catch (...) {
    // Reporting is the last resort already; there is nobody left to tell.
  }
}

void Options::warn(std::string const& line) const noexcept {
  try {
    if (on_warning) on_warning(line);
  } catch (...) {
    // Whoever wants warnings has them; what it does with them is no fault of the call.
  }
}

}  // namespace tandem
