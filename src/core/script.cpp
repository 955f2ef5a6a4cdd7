#include "tandem/core/script.hpp"

#include <stdexcept>

#include <openssl/evp.h>

namespace tandem {

Script::Script(std::string_view source) : source_{source}, repeatable_{says_that_it_is(source)} {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(source.data(), source.size(), digest, &size, EVP_sha1(), nullptr) != 1 ||
      size * 2 != sha1_.size()) {
    throw std::runtime_error{"tandem: SHA1 is not available in this OpenSSL"};
  }
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < size; ++i) {
    sha1_[2 * i] = digits[digest[i] >> 4];
    sha1_[2 * i + 1] = digits[digest[i] & 15];
  }
}

}  // namespace tandem
