package tlsfiles

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // Keys that were encrypted with it exist.
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is the default of PBKDF2 in old keys.
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"strings"
)

var (
	// errNoKey is returned when a file holds no private key.
	errNoKey = errors.New("no private key in PEM form")
	// errNoPassword is returned when a key is encrypted and there is no password.
	errNoPassword = errors.New("the key is encrypted")
	// errPassword is returned when the password does not decrypt the key.
	errPassword = errors.New("the password does not decrypt the key")
)

// maxIterations bounds the work that a key file can ask for: some seconds.
const maxIterations = 10_000_000

// encryptedPKCS8 is the PEM type of a key that is encrypted as PKCS #8 says.
const encryptedPKCS8 = "ENCRYPTED PRIVATE KEY"

// blocks calls visit with each PEM block until it returns false.
func blocks(data []byte, visit func(*pem.Block) bool) {
	for {
		block, rest := pem.Decode(data)
		if block == nil || !visit(block) {
			return
		}
		data = rest
	}
}

func hasBlock(data []byte, kind string) (found bool) {
	blocks(data, func(b *pem.Block) bool {
		found = b.Type == kind
		return !found
	})
	return found
}

// decryptKey returns the first private key in data as PEM, decrypted if it was encrypted.
func decryptKey(data []byte, password string) ([]byte, error) {
	var key *pem.Block
	blocks(data, func(b *pem.Block) bool {
		if strings.HasSuffix(b.Type, "PRIVATE KEY") {
			key = b
		}
		return key == nil
	})
	if key == nil {
		return nil, errNoKey
	}
	legacy := x509.IsEncryptedPEMBlock(key) //nolint:staticcheck // Weak, but such keys exist, and the file is the user's own.
	if !legacy && key.Type != encryptedPKCS8 {
		return pem.EncodeToMemory(key), nil
	}
	if password == "" {
		return nil, errNoPassword
	}
	if legacy {
		der, err := x509.DecryptPEMBlock(key, []byte(password)) //nolint:staticcheck // As above.
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, errPassword
		}
		if err != nil {
			return nil, fmt.Errorf("decrypt: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: key.Type, Bytes: der}), nil
	}
	der, err := decryptPKCS8(key.Bytes, password)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// The structures of RFC 8018 (PKCS #5) and RFC 5958 (PKCS #8).
type (
	encryptedKeyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KDF, Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// blockCipher returns the cipher of an encryption scheme, all in CBC mode.
func blockCipher(id asn1.ObjectIdentifier) (keyLength int, newCipher func([]byte) (cipher.Block, error), err error) {
	switch id.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, aes.NewCipher, nil
	case "2.16.840.1.101.3.4.1.22":
		return 24, aes.NewCipher, nil
	case "2.16.840.1.101.3.4.1.42":
		return 32, aes.NewCipher, nil
	case "1.2.840.113549.3.7":
		return 24, des.NewTripleDESCipher, nil
	}
	return 0, nil, fmt.Errorf("it is encrypted with an unknown cipher (%s)", id)
}

// prf returns the hash function of a pseudo-random function of PBKDF2.
func prf(id asn1.ObjectIdentifier) (func() hash.Hash, error) {
	switch id.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, nil
	case "1.2.840.113549.2.8":
		return sha256.New224, nil
	case "1.2.840.113549.2.9":
		return sha256.New, nil
	case "1.2.840.113549.2.10":
		return sha512.New384, nil
	case "1.2.840.113549.2.11":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("its password is stretched with an unknown function (%s)", id)
}

// decryptPKCS8 decrypts a key that PBES2 with PBKDF2 has encrypted, which is what openssl
// does by default. The standard library decrypts none of PKCS #8.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info encryptedKeyInfo
	if err := unmarshal(der, &info); err != nil {
		return nil, err
	}
	if !info.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("it is encrypted with an unknown scheme (%s)", info.Algorithm.Algorithm)
	}
	var scheme pbes2Params
	if err := unmarshal(info.Algorithm.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	if !scheme.KDF.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("its password is stretched in an unknown way (%s)", scheme.KDF.Algorithm)
	}
	keyLength, newCipher, err := blockCipher(scheme.Cipher.Algorithm)
	if err != nil {
		return nil, err
	}
	key, err := stretch(scheme.KDF.Parameters.FullBytes, password, keyLength)
	if err != nil {
		return nil, err
	}
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if err := unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	if len(iv) != block.BlockSize() || len(info.Data) == 0 || len(info.Data)%block.BlockSize() != 0 {
		return nil, errors.New("the encrypted key is damaged")
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	return unpad(plain, block.BlockSize())
}

func stretch(params []byte, password string, keyLength int) ([]byte, error) {
	var p pbkdf2Params
	if err := unmarshal(params, &p); err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations || p.KeyLength != 0 && p.KeyLength != keyLength {
		return nil, fmt.Errorf("its password is stretched by %d rounds to %d bytes, which is out of range", p.Iterations, p.KeyLength)
	}
	h, err := prf(p.PRF.Algorithm)
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(h, password, p.Salt, p.Iterations, keyLength)
}

// unpad removes the padding. A wrong password leaves none that is right, or no key.
func unpad(plain []byte, size int) ([]byte, error) {
	n := int(plain[len(plain)-1])
	if n == 0 || n > size || !bytes.Equal(plain[len(plain)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, errPassword
	}
	key := plain[:len(plain)-n]
	if _, err := x509.ParsePKCS8PrivateKey(key); err != nil {
		var value asn1.RawValue
		if rest, wrong := asn1.Unmarshal(key, &value); wrong != nil || len(rest) > 0 {
			return nil, errPassword
		}
		return nil, fmt.Errorf("the decrypted key: %w", err)
	}
	return key, nil
}

func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err == nil && len(rest) > 0 {
		err = errors.New("trailing bytes")
	}
	if err != nil {
		return fmt.Errorf("the encrypted key is damaged: %w", err)
	}
	return nil
}
