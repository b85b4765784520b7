package ofd

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm3"

	"github.com/onewindow/onewindow/signing/pki"
	"github.com/onewindow/onewindow/signing/ses"
)

// maxNamed is how many paths a step's detail names.
const maxNamed = 5

// Verify judges every signature of a file, step by step: that Signature.xml is
// what was signed, that each part it references is unchanged, that there is no
// part which it does not reference, and that signer, certificate, seal and time
// hold (GM/T 0031-2014, 6.2.3). All steps that can be judged are judged.
//
// A part need not be covered if it belongs to a later signature, that is to one
// that covers this one's Signature.xml; or if it is Signatures.xml and the
// signature left the file open.
//
// The error is not nil only for bytes that are no OFD file: ErrContainer,
// ErrLimit, or no OFD.xml. Everything else is in the report.
func Verify(file []byte, o Options) (*Report, error) {
	p, err := Open(file)
	if err != nil {
		return nil, err
	}
	return p.Verify(o)
}

// Verify is the function Verify for a file that is open.
func (p *Package) Verify(o Options) (*Report, error) {
	if _, err := p.Read(entryPoint); errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: it is a zip archive without OFD.xml: no OFD file", err)
	} else if err != nil {
		return nil, err
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	report := &Report{Verdict: Unsigned}
	d, err := p.Document()
	if err != nil {
		report.Verdict = Invalid
		report.Steps = append(report.Steps, failed(StepDocument, "文件结构损坏，无法读取", err))
		return report, nil
	}
	report.Steps = append(report.Steps, passed(StepDocument, "文件结构完整"))
	l, err := p.signatureList(d)
	if err != nil {
		report.Verdict, report.Signed = Invalid, true
		detail := "签章清单损坏，无法读取"
		if errors.Is(err, ErrNotFound) {
			detail = "文件声明有签章，但签章清单缺失"
		}
		report.Steps = append(report.Steps, failed(StepSignatureList, detail, err))
		return report, nil
	}
	report.Steps = append(report.Steps, passed(StepSignatureList, fmt.Sprintf("签章清单中有 %d 个签名", len(l.list))))
	report.Signed = len(l.list) > 0
	v := &verifier{p: p, doc: d, options: o, digests: map[string][]byte{}}
	for _, entry := range l.list {
		v.signatures = append(v.signatures, p.readSignature(entry))
	}
	report.Steps = append(report.Steps, v.nothingRemoved())
	for _, s := range v.signatures {
		report.Signatures = append(report.Signatures, v.judge(s))
	}
	report.Unsigned = v.uncovered()
	if report.Signed {
		report.Verdict = Valid
	}
	if verdict(report.Steps) == Invalid {
		report.Verdict = Invalid
	}
	for _, s := range report.Signatures {
		if s.Verdict == Invalid {
			report.Verdict = Invalid
		}
	}
	return report, nil
}

// verifier judges the signatures of one file.
type verifier struct {
	p          *Package
	doc        *Document
	options    Options
	signatures []*signed
	digests    map[string][]byte // SM3 of entries, by name
}

// signed is one signature with what could be read of it.
type signed struct {
	listed
	file     *signatureFile // nil with fileErr
	fileErr  error
	seal     *ses.Signature // of a seal, nil with valueErr
	plain    *cms           // of a plain signature, nil with valueErr
	valueErr error
}

func (p *Package) readSignature(entry listed) *signed {
	s := &signed{listed: entry}
	if s.file, s.fileErr = p.signatureFile(entry.Path); s.fileErr != nil {
		return s
	}
	value, err := p.Read(s.file.value)
	if err != nil {
		s.valueErr = err
		return s
	}
	switch entry.Kind {
	case "Seal":
		s.seal, s.valueErr = ses.ParseSignature(value)
	case "Sign":
		s.plain, s.valueErr = parseCMS(value)
	default:
		s.valueErr = fmt.Errorf("%w: a signature of type %.20q", ErrDocument, entry.Kind)
	}
	return s
}

// parts are the entries that make up the signature itself.
func (s *signed) parts() []string {
	if s.file == nil {
		return []string{s.Path}
	}
	list := []string{s.file.path, s.file.value}
	if s.file.seal != "" {
		list = append(list, s.file.seal)
	}
	return list
}

// judge runs all steps for one signature.
func (v *verifier) judge(s *signed) SignatureReport {
	r := SignatureReport{ID: s.ID, Kind: s.Kind}
	if s.fileErr != nil {
		r.Steps, r.Verdict = []ses.Step{failed(StepSignatureFile, "签名描述文件损坏或缺失", s.fileErr)}, Invalid
		return r
	}
	r.Producer = s.file.producer
	r.Steps = append(r.Steps, passed(StepSignatureFile, "签名描述文件可读"))
	if s.valueErr != nil {
		r.Steps = append(r.Steps, failed(StepSignedValue, "签名值损坏、缺失或格式不受支持", s.valueErr), v.references(s), v.coverage(s))
		r.Verdict = Invalid
		return r
	}
	r.Steps = append(r.Steps, passed(StepSignedValue, "签名值可读"), s.algorithm())
	if s.seal != nil {
		v.judgeSeal(s, &r)
	} else {
		v.judgePlain(s, &r)
	}
	if cert, err := pki.ParseCertificate(r.Certificate); err == nil {
		r.Signer = cert.Subject.CommonName
	}
	r.Verdict = verdict(r.Steps)
	return r
}

func (v *verifier) judgeSeal(s *signed, r *SignatureReport) {
	r.Seal, r.Certificate, r.Time = s.seal.Seal, s.seal.Certificate, s.seal.Time
	steps := s.seal.Check(v.options.Trust, ses.Options{
		Now: v.options.Now, SealStatus: v.options.SealStatus, Timestamp: v.options.Timestamp,
	})
	r.Steps = append(r.Steps, dataHash(s.file.raw, s.seal.DataHash), place(s))
	// The signer's signature comes first among ses's steps, the timestamp last.
	last := len(steps) - 1
	r.Steps = append(r.Steps, steps[0], v.references(s), v.coverage(s))
	r.Steps = append(r.Steps, steps[1:last]...)
	r.Steps = append(r.Steps, v.sealCopy(s), steps[last], v.stamps(s, r))
}

// algorithm insists on SM3 and SM2: the default of GB/T 33190 is MD5.
func (s *signed) algorithm() ses.Step {
	if m := s.file.checkMethod; m != methodSM3 && !strings.EqualFold(m, "SM3") {
		return failed(StepAlgorithm, "摘要算法不是 SM3，不予承认", fmt.Errorf("%w: CheckMethod %.40q", ErrSignature, m))
	}
	if s.file.method != methodSM2SM3 {
		return failed(StepAlgorithm, "签名算法不是 SM2，不予承认", fmt.Errorf("%w: SignatureMethod %.40q", ErrSignature, s.file.method))
	}
	return passed(StepAlgorithm, "签名算法为 SM2，摘要算法为 SM3")
}

func dataHash(description, want []byte) ses.Step {
	if digest := sm3.Sum(description); !bytes.Equal(digest[:], want) {
		return failed(StepDataHash, "签名描述文件在签章后被改动", fmt.Errorf("%w: SM3 of Signature.xml", ErrSignature))
	}
	return passed(StepDataHash, "签名描述文件未被改动")
}

// place compares the path that was signed. What is not a path is a producer's
// own remark (GM/T 0031-2014 leaves propertyInfo free).
func place(s *signed) ses.Step {
	stated := strings.TrimPrefix(strings.ReplaceAll(s.seal.Property, `\`, "/"), "/")
	switch {
	case strings.EqualFold(stated, s.Path):
		return passed(StepPlace, "签名在签章时的位置")
	case strings.HasSuffix(strings.ToLower(stated), ".xml"):
		return failed(StepPlace, "签名被移到了别处", fmt.Errorf("%w: signed as %.80q, found as %.80q", ErrSignature, stated, s.Path))
	}
	return warned(StepPlace, "签名没有写明它的位置", fmt.Errorf("%w: property %.80q", ErrSignature, stated))
}

func (v *verifier) digest(e *entry) ([]byte, error) {
	if known, ok := v.digests[e.name]; ok {
		return known, nil
	}
	data, err := v.p.Read(e.name)
	if err != nil {
		return nil, err
	}
	digest := sm3.Sum(data)
	v.digests[e.name] = digest[:]
	return digest[:], nil
}

// references compares the digest of every part that the signature covers.
func (v *verifier) references(s *signed) ses.Step {
	var bad []string
	for _, ref := range s.file.references {
		e, err := v.p.find(ref.path)
		if err != nil {
			bad = append(bad, ref.path+"（缺失）")
			continue
		}
		digest, err := v.digest(e)
		if err != nil || !bytes.Equal(digest, ref.check) {
			bad = append(bad, ref.path)
		}
	}
	if len(bad) > 0 {
		return failed(StepReferences, "签章后被改动的部分："+named(bad), fmt.Errorf("%w: changed: %s", ErrSignature, named(bad)))
	}
	return passed(StepReferences, fmt.Sprintf("签名所涉的 %d 个部分均未被改动", len(s.file.references)))
}

func named(list []string) string {
	if len(list) > maxNamed {
		return strings.Join(list[:maxNamed], "、") + fmt.Sprintf(" 等 %d 个", len(list))
	}
	return strings.Join(list, "、")
}

// coverage looks for entries that the signature leaves open.
func (v *verifier) coverage(s *signed) ses.Step {
	open := map[string]bool{strings.ToLower(v.doc.Signatures): true}
	for _, own := range s.parts()[:2] {
		open[strings.ToLower(own)] = true
	}
	for _, other := range v.signatures {
		if other != s && other.file != nil && other.file.covers(s.Path) {
			for _, part := range other.parts() {
				open[strings.ToLower(part)] = true
			}
		}
	}
	var bad []string
	for _, name := range v.p.Paths() {
		fold := strings.ToLower(name)
		if !s.file.checks[fold] && !open[fold] && !v.isSealCopy(s, fold) {
			bad = append(bad, name)
		}
	}
	if len(bad) > 0 {
		return failed(StepCoverage, "未被签名保护的部分："+named(bad), fmt.Errorf("%w: not covered: %s", ErrSignature, named(bad)))
	}
	return passed(StepCoverage, "文件的全部内容都受签名保护")
}

// isSealCopy: the seal is within what was signed, so an equal copy of it is covered.
func (v *verifier) isSealCopy(s *signed, fold string) bool {
	if s.seal == nil || s.file.seal == "" || strings.ToLower(s.file.seal) != fold {
		return false
	}
	data, err := v.p.Read(s.file.seal)
	return err == nil && bytes.Equal(data, s.seal.Seal.Raw)
}

func (v *verifier) sealCopy(s *signed) ses.Step {
	if s.file.seal == "" {
		return skipped(StepSealCopy, "文件中没有另存印章")
	}
	data, err := v.p.Read(s.file.seal)
	if err != nil || !bytes.Equal(data, s.seal.Seal.Raw) {
		return failed(StepSealCopy, "文件中另存的印章与签章所用印章不同", fmt.Errorf("%w: %s is another seal (%w)", ErrSignature, s.file.seal, err))
	}
	return passed(StepSealCopy, "另存的印章与签章所用印章一致")
}

// stamps checks where the picture is shown.
func (v *verifier) stamps(s *signed, r *SignatureReport) ses.Step {
	index := map[ID]int{}
	for i, ref := range v.doc.Pages {
		index[ref.ID] = i
	}
	papers := map[int]Box{}
	odd := ""
	for _, a := range s.file.stamps {
		i, ok := index[a.page]
		if !ok {
			return failed(StepStamps, "印章所在的页不存在", fmt.Errorf("%w: stamp on page %d", ErrSignature, a.page))
		}
		r.Stamps = append(r.Stamps, Stamp{Page: i, Box: a.box, Clip: a.clip})
		paper, known := papers[i]
		if !known {
			var err error
			if paper, err = v.p.paper(i); err != nil {
				return failed(StepStamps, "印章所在的页无法读取", err)
			}
			papers[i] = paper
		}
		seen := visible(a.box, a.clip)
		switch {
		case seen.Width <= 0 || seen.Height <= 0:
			return failed(StepStamps, "印章没有大小，看不见", fmt.Errorf("%w: stamp at %v", ErrSignature, a.box))
		case !paper.contains(seen):
			odd = "印章超出了页面"
		case !fits(a.box, s.seal.Seal.Picture):
			odd = "印章显示的大小与印章本身的大小不同"
		}
	}
	switch {
	case len(s.file.stamps) == 0:
		return warned(StepStamps, "印章没有显示在任何页上", fmt.Errorf("%w: no StampAnnot", ErrSignature))
	case odd != "":
		return warned(StepStamps, odd, fmt.Errorf("%w: StampAnnot", ErrSignature))
	}
	return passed(StepStamps, fmt.Sprintf("印章显示在 %d 处，大小相符", len(s.file.stamps)))
}

// nothingRemoved looks among the covered parts for a Signature.xml that
// Signatures.xml, which an open file does not protect, has lost.
func (v *verifier) nothingRemoved() ses.Step {
	known := map[string]bool{}
	for _, s := range v.signatures {
		known[strings.ToLower(s.Path)] = true
	}
	folder := strings.ToLower(path.Dir(v.doc.Signatures)) + "/"
	var lost []string
	for _, name := range v.p.Paths() {
		fold := strings.ToLower(name)
		if known[fold] || !strings.HasPrefix(fold, folder) || !strings.HasSuffix(fold, ".xml") || strings.EqualFold(name, v.doc.Signatures) {
			continue
		}
		if root, err := v.p.parse(name); err == nil && root.Name == "Signature" {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		return failed(StepNothingRemoved, "有签名从签章清单中被移除："+named(lost), fmt.Errorf("%w: not in the list: %s", ErrSignature, named(lost)))
	}
	return passed(StepNothingRemoved, "签章清单没有缺少签名")
}

// uncovered returns the entries that no signature covers and none is made of.
func (v *verifier) uncovered() []string {
	covered := map[string]bool{}
	if len(v.signatures) > 0 {
		covered[strings.ToLower(v.doc.Signatures)] = true
	}
	for _, s := range v.signatures {
		for _, part := range s.parts() {
			covered[strings.ToLower(part)] = true
		}
		if s.file != nil {
			for fold := range s.file.checks {
				covered[fold] = true
			}
		}
	}
	var list []string
	for _, name := range v.p.Paths() {
		if !covered[strings.ToLower(name)] {
			list = append(list, name)
		}
	}
	return list
}
