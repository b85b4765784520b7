package pkcs11

import (
	"context"
	"crypto"
	"errors"
	"fmt"
)

// maxID is the longest CKA_ID that is used, in bytes.
const maxID = 64

// Generate makes a key pair inside the token under id (CKA_ID, 1 to 64 bytes)
// with a label for people, and returns its signer after a trial signature.
// algorithm is ES256, ES384 or EdDSA; another, or one that the token does not
// do, is ErrAlgorithm. ErrExists if the token has anything under id. The key is
// on the token when Generate returns nil. After another error it may be there
// or not, whole or in part: Destroy the id, then try again. CKA_ID is not
// unique to a token: of two Generates of one id at the same time both may
// succeed, and Find refuses the id.
func (t *Token) Generate(ctx context.Context, id []byte, label, algorithm string) (crypto.Signer, error) {
	a, err := algorithmByName(algorithm)
	if err != nil {
		return nil, err
	}
	if err := checkID(id); err != nil {
		return nil, err
	}
	if label == "" || len(label) > 255 {
		return nil, fmt.Errorf("%w: a label has 1 to 255 bytes", ErrKey)
	}
	err = t.repeat(ctx, 0, func(s session) error {
		objects, err := s.objects(id)
		if err == nil && len(objects) > 0 {
			err = fmt.Errorf("%w: %x has %d objects", ErrExists, id, len(objects))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var key *privateKey
	_, err = t.once(ctx, sessionReadWrite, func(s session) error {
		public, private, err := s.generatePair(a, id, label)
		if err != nil {
			return fmt.Errorf("making a key for %s: %w", a.name, err)
		}
		if key, err = t.trial(s, id, public, private); err != nil {
			// Nobody has seen the key, so it can go.
			return errors.Join(fmt.Errorf("key just made: %w", err),
				check("C_DestroyObject", s.destroy(s.handle, private)), check("C_DestroyObject", s.destroy(s.handle, public)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// Find returns the signer of the key under id, made by Generate. ErrNotFound if
// there is none, ErrKey if there are two, or its private part is extractable or
// its public part missing or damaged.
func (t *Token) Find(ctx context.Context, id []byte) (crypto.Signer, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	var key *privateKey
	err := t.repeat(ctx, 0, func(s session) error {
		private, err := s.privateHandle(id)
		if err != nil {
			return err
		}
		publics, err := s.search(classPublicKey, id)
		if err != nil {
			return err
		}
		if len(publics) != 1 {
			return fmt.Errorf("%w: %x has %d public keys beside its private key", ErrKey, id, len(publics))
		}
		key, err = t.newKey(s, id, publics[0], private)
		return err
	})
	if err != nil {
		return nil, err
	}
	return key, nil
}

// Destroy removes everything under id, private keys first, for good. It returns
// nil if there is nothing, so that it can be repeated after a crash or an error.
func (t *Token) Destroy(ctx context.Context, id []byte) error {
	if err := checkID(id); err != nil {
		return err
	}
	return t.repeat(ctx, sessionReadWrite, func(s session) error {
		objects, err := s.objects(id)
		if err != nil {
			return err
		}
		for _, object := range objects {
			err := check("C_DestroyObject", s.destroy(s.handle, object))
			if err != nil && !returned(err, ckrObjectHandleInvalid) { // gone meanwhile
				return fmt.Errorf("destroying %x: %w", id, err)
			}
		}
		// Some tokens take the call and keep the object.
		left, err := s.objects(id)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("%w: %x still has %d objects after they were destroyed", ErrDevice, id, len(left))
		}
		return err
	})
}

func checkID(id []byte) error {
	if len(id) == 0 || len(id) > maxID {
		return fmt.Errorf("%w: an id has 1 to %d bytes, not %d", ErrKey, maxID, len(id))
	}
	return nil
}

// generatePair makes the key pair as token objects.
func (s session) generatePair(a algorithm, id []byte, label string) (public, private uintptr, err error) {
	var publicPart, privatePart template
	defer publicPart.release()
	defer privatePart.release()
	publicPart.addNumber(attributeKeyType, a.keyType).addBool(attributeToken, true).addBool(attributePrivate, false).
		addBool(attributeVerify, true).add(attributeECParams, a.params).add(attributeID, id).add(attributeLabel, []byte(label))
	privatePart.addNumber(attributeKeyType, a.keyType).addBool(attributeToken, true).addBool(attributePrivate, true).
		addBool(attributeSensitive, true).addBool(attributeExtractable, false).
		addBool(attributeSign, true).addBool(attributeDecrypt, false).addBool(attributeUnwrap, false).addBool(attributeDerive, false).
		add(attributeID, id).add(attributeLabel, []byte(label))
	err = check("C_GenerateKeyPair", s.generate(s.handle, &mechanism{kind: a.generate},
		publicPart.first(), publicPart.count(), privatePart.first(), privatePart.count(), &public, &private))
	return public, private, err
}

// objects lists the keys under id, private ones first.
func (s session) objects(id []byte) ([]uintptr, error) {
	privates, err := s.search(classPrivateKey, id)
	if err != nil {
		return nil, err
	}
	publics, err := s.search(classPublicKey, id)
	return append(privates, publics...), err
}

// privateHandle returns the one private key under id, if it is fit for use.
func (s session) privateHandle(id []byte) (uintptr, error) {
	privates, err := s.search(classPrivateKey, id)
	if err != nil {
		return 0, err
	}
	switch len(privates) {
	case 0:
		return 0, fmt.Errorf("%w: no private key under %x", ErrNotFound, id)
	case 1:
		return privates[0], s.checkPrivate(privates[0])
	default:
		return 0, fmt.Errorf("%w: %x has %d private keys", ErrKey, id, len(privates))
	}
}

// checkPrivate refuses a private key that could leave the token.
func (s session) checkPrivate(object uintptr) error {
	sensitive, err := s.flag(s.handle, object, attributeSensitive)
	if err != nil {
		return err
	}
	extractable, err := s.flag(s.handle, object, attributeExtractable)
	if err != nil {
		return err
	}
	if !sensitive || extractable {
		return fmt.Errorf("%w: the private key can be read out of the token; make another one", ErrKey)
	}
	return nil
}

// search lists the objects of a class under id, at most 16.
func (s session) search(class uintptr, id []byte) ([]uintptr, error) {
	var t template
	t.addNumber(attributeClass, class).add(attributeID, id)
	defer t.release()
	if err := check("C_FindObjectsInit", s.findInit(s.handle, t.first(), t.count())); err != nil {
		return nil, err
	}
	var found []uintptr
	for batch := make([]uintptr, 16); len(found) < 16; { // a token may return fewer than there are
		var count uintptr
		if err := check("C_FindObjects", s.find(s.handle, &batch[0], uintptr(len(batch)-len(found)), &count)); err != nil {
			return nil, err
		}
		if count == 0 {
			break
		}
		found = append(found, batch[:min(count, uintptr(len(batch)-len(found)))]...)
	}
	if err := check("C_FindObjectsFinal", s.findFinal(s.handle)); err != nil {
		return nil, err
	}
	if class == classPrivateKey && len(found) == 0 {
		return nil, s.checkAbsence()
	}
	return found, nil
}

// checkAbsence fails if no private keys were seen for another reason than that
// there are none: the session is not logged in, or the token is gone though the
// library has not said so.
func (s session) checkAbsence() error {
	var info sessionInfo
	if err := check("C_GetSessionInfo", s.sessionInfo(s.handle, &info)); err != nil {
		return err
	}
	if info.state != stateReadOnlyUser && info.state != stateReadWriteUser {
		return check("C_GetSessionInfo", ckrNotLoggedIn)
	}
	var token tokenInfo
	if err := check("C_GetTokenInfo", s.tokenInfo(info.slot, &token)); err != nil {
		return fmt.Errorf("%w: it does not answer: %w", ErrToken, err)
	}
	return nil
}
