package exchange

import (
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// The API's enums and the names they have inside.
var (
	kindOf = map[exchangev1.RecordKind]Kind{
		exchangev1.RecordKind_RECORD_KIND_REGISTER:   Register,
		exchangev1.RecordKind_RECORD_KIND_CASE_EVENT: CaseEvent,
		exchangev1.RecordKind_RECORD_KIND_RATING:     Rating,
		exchangev1.RecordKind_RECORD_KIND_TICKET:     Ticket,
	}
	shareTypeOf = map[exchangev1.ShareType]ShareType{
		exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL: Unconditional,
		exchangev1.ShareType_SHARE_TYPE_CONDITIONAL:   Conditional,
		exchangev1.ShareType_SHARE_TYPE_NOT_SHARED:    NotShared,
	}
	matterTypeOf = map[exchangev1.MatterType]MatterType{
		exchangev1.MatterType_MATTER_TYPE_IMMEDIATE: Immediate,
		exchangev1.MatterType_MATTER_TYPE_PROMISED:  Promised,
		exchangev1.MatterType_MATTER_TYPE_JOINT:     Joint,
		exchangev1.MatterType_MATTER_TYPE_FORWARDED: Forwarded,
	}
	operationOf = map[exchangev1.Operation]Operation{
		exchangev1.Operation_OPERATION_UPSERT: Upsert,
		exchangev1.Operation_OPERATION_DELETE: Delete,
	}
	materialStateMessage = map[MaterialState]exchangev1.MaterialState{
		HeldAsLicense: exchangev1.MaterialState_MATERIAL_STATE_HELD_AS_LICENSE,
		HeldAsRecord:  exchangev1.MaterialState_MATERIAL_STATE_HELD_AS_RECORD,
		ToBeSubmitted: exchangev1.MaterialState_MATERIAL_STATE_TO_BE_SUBMITTED,
	}
)

// inverse looks an enum up by its inside name.
func inverse[K, V comparable](m map[K]V, want V) (key K) {
	for k, v := range m {
		if v == want {
			return k
		}
	}
	return key
}

func resourceMessage(r Resource) *exchangev1.Resource {
	return &exchangev1.Resource{
		Name: r.Name, Title: r.Title, Kind: inverse(kindOf, r.Kind), ShareType: inverse(shareTypeOf, r.ShareType),
		Schema: r.Schema, AgreedDelaySeconds: r.AgreedDelaySeconds,
	}
}

func matterMessage(m Matter) *exchangev1.Matter {
	message := &exchangev1.Matter{
		Code: m.Code, Title: m.Title, Department: m.Department, Type: inverse(matterTypeOf, m.Type),
		PromisedDays: m.PromisedDays, StatutoryDays: m.StatutoryDays,
	}
	for _, material := range m.Materials {
		message.Materials = append(message.Materials, &exchangev1.Material{
			Code: material.Code, Title: material.Title, LicenseType: material.LicenseType, Resource: material.Resource,
		})
	}
	return message
}
